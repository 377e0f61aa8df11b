package com.fluxmq.tests;

import java.io.PrintStream;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a group, which says on standard output what happens to it, each line with the microsecond in which it was
 * known: {@code d partition from to} for records delivered, {@code c partition offset} for an acknowledged commit,
 * {@code a}, {@code r} and {@code l} with partitions for those assigned, revoked and lost, {@code e text} for an error.
 * It leaves the group when its standard input ends.
 *
 * <p>The soak of groups starts many, kills some, and holds the lines against what was produced. Delivered records are
 * written down before they are committed, so a commit that was acknowledged never speaks of a record nobody has seen.
 */
public final class GroupMember implements ConsumerRebalanceListener {
    private final PrintStream out = new PrintStream(System.out, false);
    private final AtomicBoolean stopping = new AtomicBoolean();
    private final Map<TopicPartition, OffsetAndMetadata> uncommitted = new HashMap<>();
    private final KafkaConsumer<byte[], byte[]> consumer;

    private GroupMember(Map<String, Object> settings) {
        consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Arguments: bootstrap address, group, topic, milliseconds between commits, further settings as key=value. */
    public static void main(String[] args) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", args[0], "group.id", args[1],
                "enable.auto.commit", "false", "auto.offset.reset", "earliest", "fetch.min.bytes", "20000",
                "fetch.max.wait.ms", "200", "default.api.timeout.ms", "20000", "request.timeout.ms", "10000",
                "reconnect.backoff.ms", "20"));
        settings.put("reconnect.backoff.max.ms", "200");
        for (String setting : List.of(args).subList(4, args.length)) {
            settings.put(setting.substring(0, setting.indexOf('=')), setting.substring(setting.indexOf('=') + 1));
        }
        new GroupMember(settings).run(args[2], Duration.ofMillis(Long.parseLong(args[3])));
    }

    private void run(String topic, Duration commitInterval) {
        EndOfInput.then(() -> {
            stopping.set(true);
            consumer.wakeup();
        });
        consumer.subscribe(List.of(topic), this);
        Instant lastCommit = Instant.now();
        while (!stopping.get()) {
            try {
                deliver(consumer.poll(Duration.ofMillis(500)));
                if (Duration.between(lastCommit, Instant.now()).compareTo(commitInterval) >= 0) {
                    commit();
                    lastCommit = Instant.now();
                }
            } catch (WakeupException e) {
                // Time to leave.
            }
        }
        commit();
        // Revokes, and commits once more there if it has to.
        consumer.close();
        out.flush();
    }

    private void deliver(ConsumerRecords<byte[], byte[]> records) {
        for (TopicPartition partition : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> some = records.records(partition);
            long from = some.get(0).offset();
            long to = some.get(some.size() - 1).offset();
            say("d " + partition.partition() + " " + from + " " + to);
            uncommitted.put(partition, new OffsetAndMetadata(to + 1));
        }
        out.flush();
    }

    private void commit() {
        if (uncommitted.isEmpty()) {
            return;
        }
        try {
            consumer.commitSync(uncommitted);
            uncommitted.forEach((partition, offset) -> say("c " + partition.partition() + " " + offset.offset()));
            uncommitted.clear();
        } catch (KafkaException e) {
            // Fenced, in the middle of a rebalance, or a broker that is gone for a while: the next commit covers it.
            say("e commit: " + e);
        }
        out.flush();
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        say("a " + numbers(partitions));
        out.flush();
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit();
        uncommitted.keySet().removeAll(partitions);
        say("r " + numbers(partitions));
        out.flush();
    }

    /** Called by clients from 2.4 on; this class is built with older ones too. */
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        uncommitted.keySet().removeAll(partitions);
        say("l " + numbers(partitions));
        out.flush();
    }

    private void say(String what) {
        Instant now = Instant.now();
        out.println((now.getEpochSecond() * 1_000_000 + now.getNano() / 1000) + " " + what);
    }

    private static String numbers(Collection<TopicPartition> partitions) {
        return partitions.stream().map(partition -> Integer.toString(partition.partition())).collect(Collectors.joining(" "));
    }
}
