package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListConsumerGroupsOptions;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ConsumerGroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Groups, with what clients gained up to 3.6: static members, cooperative rebalances, offsets that administrators change. */
class GroupAdminTest extends GroupMembers {

    @ParameterizedTest
    @ValueSource(strings = {"Range", "RoundRobin", "Sticky", "CooperativeSticky"})
    void everyAssignor(String assignor) throws Exception {
        String topic = topic(4);
        sendNumbers(producer(), topic, 0, 0, 10);
        String[] config = {"partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor + "Assignor"};
        KafkaConsumer<byte[], byte[]> one = subscribed("classic", topic, config);
        share(List.of(4), one);
        KafkaConsumer<byte[], byte[]> two = subscribed("classic", topic, config);
        share(List.of(2, 2), one, two);
        one.close();
        share(List.of(4), two);
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void aStaticMemberBounces(String protocol) throws Exception {
        String topic = topic(4);
        KafkaConsumer<byte[], byte[]> one = subscribed(protocol, topic, "group.instance.id", "one");
        KafkaConsumer<byte[], byte[]> two = subscribed(protocol, topic, "group.instance.id", "two");
        share(List.of(2, 2), one, two);
        Set<TopicPartition> kept = Set.copyOf(one.assignment());
        Set<TopicPartition> had = Set.copyOf(two.assignment());
        two.close();
        KafkaConsumer<byte[], byte[]> again = subscribed(protocol, topic, "group.instance.id", "two");
        poll("the same partitions", () -> again.assignment().equals(had) && one.assignment().equals(kept), one, again);
        again.close(); // a static member that closes stays in the group until its session ends
        admin().removeMembersFromConsumerGroup(topic,
                new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("two")))).all().get(20, TimeUnit.SECONDS);
        share(List.of(4), one);
    }

    @Test
    void anInstanceIsFenced() throws Exception {
        String topic = topic(1);
        KafkaConsumer<byte[], byte[]> old = subscribed("classic", topic, "group.instance.id", "one");
        share(List.of(1), old);
        KafkaConsumer<byte[], byte[]> newer = subscribed("classic", topic, "group.instance.id", "one");
        share(List.of(1), newer);
        assertThrows(FencedInstanceIdException.class, () -> poll("being told", () -> false, old));
    }

    @Test
    void aRebalanceOnRequestWithItsReason() throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> one = subscribed("classic", topic);
        KafkaConsumer<byte[], byte[]> two = subscribed("classic", topic);
        share(List.of(1, 1), one, two);
        int before = one.groupMetadata().generationId();
        one.enforceRebalance("because a test says so");
        poll("the next generation", () -> one.groupMetadata().generationId() > before && two.groupMetadata().generationId() > before, one, two);
        share(List.of(1, 1), one, two);
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void whatWasCommitted(String protocol) throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic);
        share(List.of(2), member);
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition nowhere = new TopicPartition(name(), 0);
        member.commitSync(Map.of(first, new OffsetAndMetadata(5, java.util.Optional.of(0), "five")));
        Map<TopicPartition, OffsetAndMetadata> found = member.committed(Set.of(first, new TopicPartition(topic, 1), nowhere));
        assertEquals(new OffsetAndMetadata(5, java.util.Optional.of(0), "five"), found.get(first));
        assertNull(found.get(new TopicPartition(topic, 1)));
        assertNull(found.get(nowhere));
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void offsetsThatAdministratorsChange(String protocol) throws Exception {
        String topic = topic(2);
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition second = new TopicPartition(topic, 1);
        Map<TopicPartition, OffsetAndMetadata> changed = Map.of(first, new OffsetAndMetadata(3, "m"), second, new OffsetAndMetadata(4));
        admin().alterConsumerGroupOffsets(topic, changed).all().get();
        assertEquals(changed, committed(topic));
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic);
        share(List.of(2), member);
        failure(UnknownMemberIdException.class, admin().alterConsumerGroupOffsets(topic, changed).all());
        failure(GroupSubscribedToTopicException.class,
                admin().deleteConsumerGroupOffsets(topic, Set.of(first)).partitionResult(first));
        member.close();
        admin().deleteConsumerGroupOffsets(topic, Set.of(first)).all().get();
        assertEquals(Set.of(second), committed(topic).keySet());
        failure(GroupIdNotFoundException.class, admin().deleteConsumerGroupOffsets(name(), Set.of(first)).partitionResult(first));
        failure(UnknownTopicOrPartitionException.class,
                admin().alterConsumerGroupOffsets(topic, Map.of(new TopicPartition(name(), 0), new OffsetAndMetadata(1))).all());
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void aTopicThatDoesNotExist(String protocol) throws Exception {
        String topic = name();
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic, "allow.auto.create.topics", "false");
        assertEquals(0, member.poll(Duration.ofSeconds(1)).count());
        assertTrue(member.assignment().isEmpty());
        assertNull(committed(topic).get(new TopicPartition(topic, 0)));
        admin().createTopics(Collections.singleton(new org.apache.kafka.clients.admin.NewTopic(topic, 1, (short) 1))).all().get();
        share(List.of(1), member);
    }

    @Test
    void offsetsOfManyGroups() throws Exception {
        String topic = topic(3);
        Map<String, ListConsumerGroupOffsetsSpec> asked = new HashMap<>();
        for (int g = 0; g < 20; g++) {
            String group = topic + "-" + g;
            admin().alterConsumerGroupOffsets(group, Map.of(new TopicPartition(topic, g % 3), new OffsetAndMetadata(g))).all().get();
            asked.put(group, new ListConsumerGroupOffsetsSpec());
        }
        asked.put(topic + "-0", new ListConsumerGroupOffsetsSpec().topicPartitions(partitions(topic, 3)));
        Map<String, Map<TopicPartition, OffsetAndMetadata>> found = admin().listConsumerGroupOffsets(asked).all().get();
        for (int g = 1; g < 20; g++) {
            assertEquals(Map.of(new TopicPartition(topic, g % 3), new OffsetAndMetadata(g)), found.get(topic + "-" + g));
        }
        assertEquals(3, found.get(topic + "-0").size());
        assertEquals(0, found.get(topic + "-0").get(new TopicPartition(topic, 0)).offset());
        assertNull(found.get(topic + "-0").get(new TopicPartition(topic, 1)));
        admin().deleteConsumerGroups(asked.keySet()).all().get();
    }

    @Test
    void allMembersAreRemoved() throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> one = subscribed("classic", topic);
        KafkaConsumer<byte[], byte[]> two = subscribed("classic", topic, "group.instance.id", "two");
        share(List.of(1, 1), one, two);
        RemoveMembersFromConsumerGroupOptions all = new RemoveMembersFromConsumerGroupOptions();
        all.reason("the end of a test");
        admin().removeMembersFromConsumerGroup(topic, all).all().get(20, TimeUnit.SECONDS);
        assertEquals(0, admin().describeConsumerGroups(List.of(topic)).all().get().get(topic).members().size());
    }

    @Test
    @SuppressWarnings("deprecation")
    void listsByState() throws Exception {
        String topic = topic(1);
        KafkaConsumer<byte[], byte[]> one = subscribed("classic", topic);
        share(List.of(1), one);
        assertTrue(admin().listConsumerGroups(new ListConsumerGroupsOptions().inStates(Set.of(ConsumerGroupState.STABLE))).all().get().stream()
                .anyMatch(group -> group.groupId().equals(topic) && group.state().get() == ConsumerGroupState.STABLE));
        assertTrue(admin().listConsumerGroups(new ListConsumerGroupsOptions().inStates(Set.of(ConsumerGroupState.EMPTY))).all().get().stream()
                .noneMatch(group -> group.groupId().equals(topic)));
        CompletableFuture<Void> closed = CompletableFuture.runAsync(one::close);
        closed.get(20, TimeUnit.SECONDS);
    }
}
