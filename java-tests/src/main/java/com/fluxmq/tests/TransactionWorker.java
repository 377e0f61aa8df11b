package com.fluxmq.tests;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Does one transaction after the other over all partitions of a topic, each with an offset for its own group: the number of the
 * transaction plus one. One of three is aborted. It says on standard output what became of each: {@code committed n},
 * {@code aborted n}, or {@code unknown n} when it asked for the commit and was not told; and {@code fatal reason} where a producer was
 * at its end and the next one went on. It ends when its standard input does.
 *
 * <p>The crash tests kill brokers under it and hold the log against its lines. Values are {@code worker:transaction:record:records}.
 */
public final class TransactionWorker {
    private static final int ABORT_EVERY = 3;

    private final Map<String, Object> settings = new HashMap<>();
    private final String topic;
    private final int worker;
    private final int partitions;

    private TransactionWorker(String bootstrap, String topic, int worker, int partitions) {
        this.topic = topic;
        this.worker = worker;
        this.partitions = partitions;
        settings.put("bootstrap.servers", bootstrap);
        settings.put("transactional.id", topic + "-" + worker);
        settings.put("linger.ms", "2");
        settings.put("max.block.ms", "20000");
        settings.put("request.timeout.ms", "10000");
        settings.put("reconnect.backoff.ms", "20");
        settings.put("reconnect.backoff.max.ms", "200");
    }

    /** Arguments: bootstrap address, topic, number of the worker, partitions of the topic. */
    public static void main(String[] args) {
        AtomicBoolean stopping = new AtomicBoolean();
        EndOfInput.then(() -> stopping.set(true));
        new TransactionWorker(args[0], args[1], Integer.parseInt(args[2]), Integer.parseInt(args[3])).run(stopping);
        System.out.println("end");
    }

    private void run(AtomicBoolean stopping) {
        int number = 0;
        while (!stopping.get()) {
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
                again(producer::initTransactions);
                while (!stopping.get()) {
                    one(producer, number++);
                }
            } catch (RuntimeException e) {
                // The next producer ends what this one has left open.
                System.out.println("fatal " + e.toString().replace('\n', ' '));
            }
        }
    }

    /** One transaction. What became of it is said also if this throws, after which the producer is of no more use. */
    private void one(KafkaProducer<byte[], byte[]> producer, int number) {
        String verdict = "aborted";
        try {
            int records = ThreadLocalRandom.current().nextInt(1, 12);
            producer.beginTransaction();
            for (int i = 0; i < records; i++) {
                byte[] value = (worker + ":" + number + ":" + i + ":" + records).getBytes(StandardCharsets.UTF_8);
                producer.send(new ProducerRecord<>(topic, (number + i) % partitions, null, value));
            }
            GroupOffsets.send(producer, Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(number + 1)), topic + "-group-" + worker);
            if (number % ABORT_EVERY == 1) {
                producer.flush();
                again(producer::abortTransaction);
            } else {
                verdict = "unknown";
                again(producer::commitTransaction);
                verdict = "committed";
            }
        } catch (RuntimeException e) {
            // Where the end is not decided yet the client lets it be aborted, and only there.
            again(producer::abortTransaction);
            verdict = "aborted";
        } finally {
            System.out.println(verdict + " " + number);
        }
    }

    /** Calls again what may be called again, for a minute. */
    private static void again(Runnable what) {
        long deadline = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
        while (true) {
            try {
                what.run();
                return;
            } catch (RetriableException e) {
                if (System.nanoTime() > deadline) {
                    throw e;
                }
            }
        }
    }
}
