package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * What the tests about groups share: members that are polled in turns by the test's own thread. Each test has a group of its own,
 * named as its topic.
 */
abstract class GroupMembers extends BrokerTest {
    private static final boolean KNOWS_BOTH = Integer.parseInt(System.getProperty("kafka.version", "4.4.0").split("\\.")[0]) >= 4;

    /** The group protocols that this client speaks. */
    static List<String> protocols() {
        return KNOWS_BOTH ? List.of("classic", "consumer") : List.of("classic");
    }

    /** A member of a group that has not subscribed yet. It commits nothing by itself and begins at the earliest offset. */
    KafkaConsumer<byte[], byte[]> member(String protocol, String group, String... configs) {
        List<String> all = new ArrayList<>(List.of("group.id", group, "metadata.max.age.ms", "500"));
        if (protocol.equals("consumer")) {
            all.addAll(List.of("group.protocol", "consumer"));
        } else {
            all.addAll(List.of("session.timeout.ms", "6000", "heartbeat.interval.ms", "200"));
        }
        all.addAll(Arrays.asList(configs));
        return consumer(all.toArray(new String[0]));
    }

    /** The same, subscribed. */
    KafkaConsumer<byte[], byte[]> subscribed(String protocol, String topic, String... configs) {
        KafkaConsumer<byte[], byte[]> member = member(protocol, topic, configs);
        member.subscribe(Collections.singleton(topic));
        return member;
    }

    /** Polls the members in turns until the condition holds; gives what they read. */
    @SafeVarargs
    static List<ConsumerRecord<byte[], byte[]>> poll(String what, Callable<Boolean> condition, KafkaConsumer<byte[], byte[]>... members)
            throws Exception {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                fail("still waiting for " + what + " after " + PATIENCE.getSeconds() + " s: " + shares(members));
            }
            for (KafkaConsumer<byte[], byte[]> member : members) {
                member.poll(Duration.ofMillis(30)).forEach(records::add);
            }
        }
        return records;
    }

    /** Polls the members until they have so many partitions, the smallest number first. */
    @SafeVarargs
    static List<ConsumerRecord<byte[], byte[]>> share(List<Integer> expected, KafkaConsumer<byte[], byte[]>... members) throws Exception {
        return poll("shares " + expected, () -> {
            Set<TopicPartition> all = new java.util.HashSet<>();
            List<Integer> counts = new ArrayList<>();
            for (KafkaConsumer<byte[], byte[]> member : members) {
                all.addAll(member.assignment());
                counts.add(member.assignment().size());
            }
            Collections.sort(counts);
            return counts.equals(expected) && all.size() == expected.stream().mapToInt(Integer::intValue).sum();
        }, members);
    }

    @SafeVarargs
    private static List<Set<String>> shares(KafkaConsumer<byte[], byte[]>... members) {
        List<Set<String>> shares = new ArrayList<>();
        for (KafkaConsumer<byte[], byte[]> member : members) {
            Set<String> names = new TreeSet<>();
            member.assignment().forEach(partition -> names.add(partition.toString()));
            shares.add(names);
        }
        return shares;
    }

    /** Polls until so many records came, numbers as {@link #sendNumbers} sends them. */
    static TreeSet<Integer> numbers(KafkaConsumer<byte[], byte[]> member, int count) {
        TreeSet<Integer> numbers = new TreeSet<>();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (numbers.size() < count) {
            member.poll(Duration.ofMillis(100)).forEach(record -> numbers.add(number(record)));
            assertTrue(System.nanoTime() < deadline, "only " + numbers.size() + " of " + count + " came");
        }
        return numbers;
    }

    /** What a group has committed, as an administrator sees it. */
    static Map<TopicPartition, OffsetAndMetadata> committed(String group) throws Exception {
        return admin().listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
    }
}
