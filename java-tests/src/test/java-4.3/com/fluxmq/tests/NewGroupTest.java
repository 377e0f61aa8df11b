package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.ClassicGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.ClassicGroupState;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedAssignorException;
import org.junit.jupiter.api.Test;

/** Groups, with what clients gained from 4.0 on: the protocol of KIP-848, and lists of groups of every kind. */
class NewGroupTest extends GroupMembers {

    @Test
    void theServerMatchesAPattern() throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> member = member("consumer", topic);
        member.subscribe(new SubscriptionPattern(topic + "(-[a-c])?"));
        share(List.of(2), member);
        assertEquals(Set.of(topic), member.assignment().stream().map(p -> p.topic()).collect(java.util.stream.Collectors.toSet()));
        KafkaConsumer<byte[], byte[]> wrong = member("consumer", topic + "-wrong");
        wrong.subscribe(new SubscriptionPattern("(unclosed"));
        assertThrows(InvalidRegularExpression.class, () -> poll("being told", () -> false, wrong));
    }

    @Test
    void theServersAssignors() throws Exception {
        String topic = topic(4);
        KafkaConsumer<byte[], byte[]> one = subscribed("consumer", topic, "group.remote.assignor", "range");
        KafkaConsumer<byte[], byte[]> two = subscribed("consumer", topic, "group.remote.assignor", "range");
        share(List.of(2, 2), one, two);
        assertEquals("range", describe(topic).partitionAssignor());
        KafkaConsumer<byte[], byte[]> wrong = subscribed("consumer", topic, "group.remote.assignor", "nosuch");
        assertThrows(UnsupportedAssignorException.class, () -> poll("being told", () -> false, wrong));
    }

    @Test
    void anInstanceIsInUse() throws Exception {
        String topic = topic(1);
        KafkaConsumer<byte[], byte[]> old = subscribed("consumer", topic, "group.instance.id", "one");
        share(List.of(1), old);
        KafkaConsumer<byte[], byte[]> newer = subscribed("consumer", topic, "group.instance.id", "one");
        assertThrows(UnreleasedInstanceIdException.class, () -> poll("being told", () -> false, newer));
        share(List.of(1), old);
    }

    @Test
    void listsAndDescriptions() throws Exception {
        String classic = topic(1);
        String modern = topic(1);
        KafkaConsumer<byte[], byte[]> one = subscribed("classic", classic);
        KafkaConsumer<byte[], byte[]> two = subscribed("consumer", modern, "client.rack", "r1");
        share(List.of(1, 1), one, two);
        Map<String, GroupListing> found = listed(new ListGroupsOptions());
        assertEquals(GroupType.CLASSIC, found.get(classic).type().orElseThrow());
        assertEquals(GroupType.CONSUMER, found.get(modern).type().orElseThrow());
        assertEquals("consumer", found.get(classic).protocol());
        assertEquals(Set.of(GroupType.CONSUMER), types(listed(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER)))));
        assertFalse(listed(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))).containsKey(classic));
        assertTrue(listed(new ListGroupsOptions().withProtocolTypes(Set.of("consumer"))).containsKey(classic));
        ClassicGroupDescription described = admin().describeClassicGroups(List.of(classic)).all().get().get(classic);
        assertEquals(ClassicGroupState.STABLE, described.state());
        assertEquals("range", described.protocolData());
        failure(GroupIdNotFoundException.class, admin().describeClassicGroups(List.of(modern)).all());
        ConsumerGroupDescription consumers = describe(modern);
        assertEquals(GroupType.CONSUMER, consumers.type());
        assertEquals(consumers.groupEpoch(), consumers.targetAssignmentEpoch());
        consumers.members().forEach(member -> {
            assertEquals("r1", member.rackId().orElse("none"));
            assertEquals(consumers.groupEpoch().orElseThrow(), member.memberEpoch().orElseThrow());
            assertTrue(member.upgraded().orElseThrow());
        });
        assertEquals(GroupType.CLASSIC, describe(classic).type());
    }

    private static Map<String, GroupListing> listed(ListGroupsOptions options) throws Exception {
        Map<String, GroupListing> found = new HashMap<>();
        admin().listGroups(options).all().get().forEach(group -> found.put(group.groupId(), group));
        return found;
    }

    private static Set<GroupType> types(Map<String, GroupListing> groups) {
        return groups.values().stream().map(group -> group.type().orElseThrow()).collect(java.util.stream.Collectors.toSet());
    }

    private static ConsumerGroupDescription describe(String group) throws Exception {
        return admin().describeConsumerGroups(List.of(group)).all().get().get(group);
    }
}
