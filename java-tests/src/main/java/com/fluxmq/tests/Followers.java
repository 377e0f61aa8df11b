package com.fluxmq.tests;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Groups that read a topic's tail while it is written, each of one consumer that has all partitions, with the settings that
 * consumers come with: they commit, and wait at the broker for what comes next.
 *
 * <p>The time of a record is from when it was due to be sent until {@code poll} gave it.
 */
final class Followers implements AutoCloseable {
    /**
     * What the groups have read.
     *
     * @param groups    the account of each
     * @param latencyUs of each record in each group, in microseconds
     */
    record Result(List<ReadBack.Account> groups, Histogram latencyUs) {
    }

    private record One(ReadBack.Account account, Histogram latencyUs) {
    }

    private static final Duration POLL = Duration.ofMillis(100);
    /** Where groups miss records it takes no longer than this to say so. */
    private static final long QUIET_MS = 5_000;

    private final Settings settings;
    private final String topic;
    private final ProducerLoad load;
    private final long runId;
    private final ExecutorService pool;
    private final CountDownLatch ready;
    private final CompletableFuture<Map<TopicPartition, Long>> ends = new CompletableFuture<>();
    private final List<Future<One>> running = new ArrayList<>();
    private final List<String> names = new ArrayList<>();

    /**
     * Starts them.
     *
     * @param load sends the records, and knows when each is due
     */
    Followers(Settings settings, String topic, ProducerLoad load, long runId, int groups) {
        this.settings = settings;
        this.topic = topic;
        this.load = load;
        this.runId = runId;
        ready = new CountDownLatch(groups);
        pool = Executors.newFixedThreadPool(groups);
        for (int g = 0; g < groups; g++) {
            String name = topic + "-" + g;
            names.add(name);
            running.add(pool.submit(() -> follow(name)));
        }
    }

    /** Waits until each group has its partitions. */
    void awaitReady() throws InterruptedException {
        if (!ready.await(settings.deadlineMs(), TimeUnit.MILLISECONDS)) {
            throw new IllegalStateException(ready.getCount() + " groups have no partitions after " + settings.deadlineMs() + " ms");
        }
    }

    /** Lets them read up to these offsets, and gives what they have found. */
    Result finish(Map<TopicPartition, Long> to) throws InterruptedException, ExecutionException {
        ends.complete(to);
        List<ReadBack.Account> accounts = new ArrayList<>();
        Histogram latencyUs = ProducerLoad.newHistogram();
        for (Future<One> future : running) {
            One one = future.get();
            accounts.add(one.account());
            latencyUs.add(one.latencyUs());
        }
        return new Result(accounts, latencyUs);
    }

    /** Leaves nothing of them at the broker. */
    void delete(AdminClient admin) throws InterruptedException, ExecutionException {
        admin.deleteConsumerGroups(names).all().get();
    }

    @Override
    public void close() {
        pool.shutdownNow();
    }

    private One follow(String group) {
        Reading reading = new Reading(runId, settings.messageBytes(), ProducerLoad.shares(settings.messages(), settings.threads()));
        Histogram latencyUs = ProducerLoad.newHistogram();
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", settings.bootstrap());
        config.put("group.id", group);
        config.put("auto.offset.reset", "earliest");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(),
                new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (consumer.assignment().size() < settings.partitions()) {
                consumer.poll(POLL);
            }
            consumer.assignment().forEach(consumer::position);
            ready.countDown();
            long progressAt = System.nanoTime();
            while (!isAtEnd(consumer)) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
                long now = System.nanoTime();
                for (TopicPartition partition : records.partitions()) {
                    List<ConsumerRecord<byte[], byte[]>> found = records.records(partition);
                    reading.take(partition, found);
                    found.forEach(record -> time(record.value(), now, latencyUs));
                }
                if (!records.isEmpty() || !ends.isDone()) {
                    progressAt = now;
                } else if (now - progressAt > QUIET_MS * 1_000_000) {
                    break;
                }
            }
        }
        return new One(Reading.account(List.of(reading)), latencyUs);
    }

    private boolean isAtEnd(KafkaConsumer<byte[], byte[]> consumer) {
        Map<TopicPartition, Long> to = ends.getNow(null);
        return to != null && to.entrySet().stream().allMatch(e -> consumer.position(e.getKey()) >= e.getValue());
    }

    private void time(byte[] value, long now, Histogram latencyUs) {
        // What is none of the load's is in the account.
        if (value.length == settings.messageBytes()) {
            ProducerLoad.record(latencyUs, now - load.due(Payload.thread(value), Payload.sequence(value)));
        }
    }
}
