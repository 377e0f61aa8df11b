package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupType;
import org.junit.jupiter.api.Test;

/** A group whose members change from the classic protocol to that of KIP-848 and back, one by one. */
class GroupMigrationTest extends GroupMembers {

    /** Every member is replaced by one of the other protocol, and back, while records are written. Nothing is missed. */
    @Test
    void aGroupMovesToTheNewProtocolAndBack() throws Exception {
        String topic = topic(6);
        KafkaProducer<byte[], byte[]> producer = producer();
        AtomicBoolean writing = new AtomicBoolean(true);
        AtomicInteger sent = new AtomicInteger();
        Thread writer = new Thread(() -> {
            while (writing.get()) {
                int next = sent.getAndIncrement();
                producer.send(new ProducerRecord<>(topic, next % 6, null, text(Integer.toString(next))));
                try {
                    Thread.sleep(1);
                } catch (InterruptedException e) {
                    return;
                }
            }
            producer.flush();
        });
        writer.start();
        Map<Integer, Integer> seen = new HashMap<>();
        List<KafkaConsumer<byte[], byte[]>> members = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            members.add(subscribed("classic", topic));
        }
        count(seen, share(List.of(2, 2, 2), array(members)), members);
        for (String protocol : List.of("consumer", "classic")) {
            for (int i = 0; i < 3; i++) {
                members.remove(0).close();
                members.add(subscribed(protocol, topic));
                count(seen, share(List.of(2, 2, 2), array(members)), members);
                ConsumerGroupDescription described = admin().describeConsumerGroups(List.of(topic)).all().get().get(topic);
                assertEquals(protocol.equals("classic") && i == 2 ? GroupType.CLASSIC : GroupType.CONSUMER, described.type());
            }
        }
        writing.set(false);
        writer.join();
        int all = sent.get();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (seen.size() < all && System.nanoTime() < deadline) {
            count(seen, poll("a round", new Once()::done, array(members)), members);
        }
        assertEquals(all, seen.size(), "records were missed");
        long twice = seen.values().stream().filter(times -> times > 1).count();
        System.out.println("migration: " + all + " records, " + twice + " read more than once");
    }

    /** True from the second time on. */
    private static final class Once {
        private boolean asked;

        boolean done() {
            boolean before = asked;
            asked = true;
            return before;
        }
    }

    /** Counts what was read and commits it: what is committed has been counted. */
    private static void count(Map<Integer, Integer> seen, List<ConsumerRecord<byte[], byte[]>> records,
            List<KafkaConsumer<byte[], byte[]>> members) {
        records.forEach(record -> seen.merge(number(record), 1, Integer::sum));
        for (KafkaConsumer<byte[], byte[]> member : members) {
            member.commitSync();
        }
    }

    @SuppressWarnings("unchecked")
    private static KafkaConsumer<byte[], byte[]>[] array(List<KafkaConsumer<byte[], byte[]>> members) {
        return members.toArray(new KafkaConsumer[0]);
    }
}
