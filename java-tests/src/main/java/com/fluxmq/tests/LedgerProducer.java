package com.fluxmq.tests;

import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.zip.CRC32;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes records 0, 1, 2, ... into one partition as fast as it can, idempotently and with acks=all, and says on standard
 * output what was acknowledged: a line {@code sequence offset} each, or {@code refused sequence reason}. It stops sending
 * when its standard input ends, waits for the answers under way, and ends with {@code sent N}.
 *
 * <p>The crash tests start it, kill brokers under it, and hold the log against its lines. A value is the sequence (8 bytes),
 * the CRC-32 of sequence and filler (4 bytes), and the filler.
 */
public final class LedgerProducer {
    private static final int FILLER_BYTES = 288;

    private LedgerProducer() {
    }

    /** Arguments: bootstrap address, topic, partition. */
    public static void main(String[] args) {
        String topic = args[1];
        int partition = Integer.parseInt(args[2]);
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false);
        AtomicBoolean stopping = new AtomicBoolean();
        EndOfInput.then(() -> stopping.set(true));

        byte[] filler = new byte[FILLER_BYTES];
        for (int i = 0; i < filler.length; i++) {
            filler[i] = (byte) i;
        }
        long sent = 0;
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(Map.of(
                "bootstrap.servers", args[0], "acks", "all", "enable.idempotence", "true", "linger.ms", "2",
                "delivery.timeout.ms", "180000", "request.timeout.ms", "10000", "reconnect.backoff.ms", "20",
                "reconnect.backoff.max.ms", "200"), new ByteArraySerializer(), new ByteArraySerializer())) {
            while (!stopping.get()) {
                long sequence = sent++;
                producer.send(new ProducerRecord<>(topic, partition, null, value(sequence, filler)), (metadata, error) -> {
                    // Callbacks come from one thread, the producer's own.
                    out.println(error == null ? sequence + " " + metadata.offset() : "refused " + sequence + " " + error);
                    if (sequence % 50 == 0) {
                        out.flush();
                    }
                });
            }
        }
        out.println("sent " + sent);
        out.flush();
    }

    private static byte[] value(long sequence, byte[] filler) {
        ByteBuffer value = ByteBuffer.allocate(12 + filler.length).putLong(0, sequence);
        CRC32 crc = new CRC32();
        crc.update(value.array(), 0, 8);
        crc.update(filler);
        return value.putInt(8, (int) crc.getValue()).put(12, filler).array();
    }
}
