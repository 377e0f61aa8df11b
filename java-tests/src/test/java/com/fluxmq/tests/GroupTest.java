package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ConsumerGroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.WakeupException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Groups, with what every served client knows; with both protocols where the client has both. */
class GroupTest extends GroupMembers {

    @ParameterizedTest
    @MethodSource("protocols")
    void membersComeAndGo(String protocol) throws Exception {
        String topic = topic(6);
        KafkaConsumer<byte[], byte[]> one = subscribed(protocol, topic);
        share(List.of(6), one);
        KafkaConsumer<byte[], byte[]> two = subscribed(protocol, topic);
        share(List.of(3, 3), one, two);
        KafkaConsumer<byte[], byte[]> three = subscribed(protocol, topic);
        share(List.of(2, 2, 2), one, two, three);
        two.close();
        share(List.of(3, 3), one, three);
        one.unsubscribe();
        share(List.of(6), three);
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void theNextMemberGoesOnWhereTheLastCommitted(String protocol) throws Exception {
        String topic = topic(2);
        sendNumbers(producer(), topic, 0, 0, 10);
        sendNumbers(producer(), topic, 1, 10, 20);
        KafkaConsumer<byte[], byte[]> one = subscribed(protocol, topic);
        assertEquals(20, numbers(one, 20).size());
        one.commitSync();
        one.close();
        sendNumbers(producer(), topic, 0, 20, 25);
        KafkaConsumer<byte[], byte[]> two = subscribed(protocol, topic);
        assertEquals(new TreeSet<>(Arrays.asList(20, 21, 22, 23, 24)), numbers(two, 5));
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void commitsAndTheirMetadata(String protocol) throws Exception {
        String topic = topic(2);
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition second = new TopicPartition(topic, 1);
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic);
        share(List.of(2), member);
        assertEquals(Collections.emptyMap(), committed(topic));
        member.commitSync(Collections.singletonMap(first, new OffsetAndMetadata(7, "seven")));
        assertEquals(Collections.singletonMap(first, new OffsetAndMetadata(7, "seven")), committed(topic));
        AtomicReference<Object> answer = new AtomicReference<>();
        member.commitAsync(Collections.singletonMap(second, new OffsetAndMetadata(9)),
                (offsets, error) -> answer.set(error == null ? offsets.get(second).offset() : error));
        poll("the answer", () -> answer.get() != null, member);
        assertEquals(9L, answer.get());
        assertEquals(9, committed(topic).get(second).offset());
        assertEquals("", committed(topic).get(second).metadata());
        assertThrows(Exception.class,
                () -> member.commitSync(Collections.singletonMap(first, new OffsetAndMetadata(8, String.join("", Collections.nCopies(5000, "x"))))));
        assertEquals(7, committed(topic).get(first).offset());
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void automaticCommits(String protocol) throws Exception {
        String topic = topic(1);
        sendNumbers(producer(), topic, 0, 0, 10);
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic, "enable.auto.commit", "true", "auto.commit.interval.ms", "200");
        numbers(member, 10);
        poll("a commit", () -> committed(topic).values().stream().anyMatch(offset -> offset.offset() == 10), member);
        sendNumbers(producer(), topic, 0, 10, 15);
        numbers(member, 5);
        member.close();
        assertEquals(15, committed(topic).get(new TopicPartition(topic, 0)).offset());
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void seekAndResume(String protocol) throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        sendNumbers(producer(), topic, 0, 0, 10);
        KafkaConsumer<byte[], byte[]> one = subscribed(protocol, topic);
        share(List.of(1), one);
        one.seek(partition, 7);
        assertEquals(7, number(read(one, 3).get(0)));
        one.seek(partition, 4);
        one.commitSync();
        one.close();
        KafkaConsumer<byte[], byte[]> two = subscribed(protocol, topic);
        assertEquals(4, number(read(two, 6).get(0)));
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void topicsByPattern(String protocol) throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> member = member(protocol, topic);
        member.subscribe(Pattern.compile(topic + "(-.)?"), new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) { }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) { }
        });
        share(List.of(2), member);
        String more = topic + "-b";
        deleteLater(Collections.singleton(more));
        admin().createTopics(Collections.singleton(new org.apache.kafka.clients.admin.NewTopic(more, 1, (short) 1))).all().get();
        share(List.of(3), member);
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void partitionsThatAreAdded(String protocol) throws Exception {
        String topic = topic(1);
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic);
        share(List.of(1), member);
        admin().createPartitions(Collections.singletonMap(topic, org.apache.kafka.clients.admin.NewPartitions.increaseTo(3))).all().get();
        share(List.of(3), member);
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void aWakeupAndACloseLeaveTheGroup(String protocol) throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> one = subscribed(protocol, topic);
        share(List.of(2), one);
        Thread waker = new Thread(() -> {
            try {
                Thread.sleep(200);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            one.wakeup();
        });
        waker.start();
        assertThrows(WakeupException.class, () -> one.poll(PATIENCE));
        waker.join();
        one.close();
        assertEquals(0, describe(topic).members().size());
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void whatAdministratorsSeeAndDo(String protocol) throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic, "client.id", "seen");
        share(List.of(2), member);
        member.commitSync(Collections.singletonMap(new TopicPartition(topic, 0), new OffsetAndMetadata(3)));
        poll("a stable group", () -> describe(topic).state() == ConsumerGroupState.STABLE, member);
        ConsumerGroupDescription described = describe(topic);
        assertEquals(1, described.members().size());
        described.members().forEach(seen -> {
            assertEquals("seen", seen.clientId());
            assertEquals("/127.0.0.1", seen.host());
            assertEquals(2, seen.assignment().topicPartitions().size());
        });
        assertFalse(described.isSimpleConsumerGroup());
        assertTrue(listed(topic));
        failure(GroupNotEmptyException.class, admin().deleteConsumerGroups(List.of(topic)).all());
        member.close();
        await("the end", () -> describe(topic).state() == ConsumerGroupState.EMPTY);
        admin().deleteConsumerGroups(List.of(topic)).all().get();
        assertFalse(listed(topic));
        failure(GroupIdNotFoundException.class, admin().deleteConsumerGroups(List.of(topic)).all());
        assertEquals(Collections.emptyMap(), committed(topic));
    }

    @Test
    void aMemberThatDoesNotPollIsReplaced() throws Exception {
        String topic = topic(1);
        KafkaConsumer<byte[], byte[]> slow = subscribed("classic", topic, "max.poll.interval.ms", "6500");
        share(List.of(1), slow);
        KafkaConsumer<byte[], byte[]> other = subscribed("classic", topic);
        share(List.of(1), other);
        assertThrows(CommitFailedException.class,
                () -> slow.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1))));
    }

    @SuppressWarnings("deprecation")
    private static boolean listed(String group) throws Exception {
        for (ConsumerGroupListing listing : admin().listConsumerGroups().all().get()) {
            if (listing.groupId().equals(group)) {
                assertFalse(listing.isSimpleConsumerGroup());
                return true;
            }
        }
        return false;
    }

    private static ConsumerGroupDescription describe(String group) throws Exception {
        return admin().describeConsumerGroups(List.of(group)).all().get().get(group);
    }
}
