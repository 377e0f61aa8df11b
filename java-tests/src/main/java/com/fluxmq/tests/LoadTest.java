package com.fluxmq.tests;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.ConcurrentHistogram;
import org.HdrHistogram.Histogram;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Producers that send at a rate, and consumers in one group that read meanwhile: latencies, and whether all of it arrived.
 *
 * <p>The load is open: each record has a time at which it is due, whatever became of those before it, and latencies count from
 * then. The records of a first second are sent and accounted for, but not timed: the JVM compiles its client during it.
 *
 * <p>Started by scripts/run-load-test.sh, which checks the arguments: KEY=VALUE for bootstrap, topic, partitions, producers,
 * consumers, message-size, target-rate, duration and acks. Exit code 1 when the account isn't whole, 2 when it could not run.
 */
public final class LoadTest {
    private static final int WARM_UP_SECONDS = 1;
    private static final long SECOND = 1_000_000_000L;
    /** Longer ones are recorded as this: 10 minutes. */
    private static final long HIGHEST_LATENCY_US = 600_000_000;
    /** How long reading may make no progress before what has not arrived is given up. */
    private static final long PATIENCE_NS = 15 * SECOND;
    /** A broker takes a megabyte unless the topic says otherwise; what a record costs besides its value. */
    private static final int RECORD_OVERHEAD_BYTES = 1000;

    private final String bootstrap;
    private final String topic;
    private final int producers;
    private final int consumers;
    private final int messageBytes;
    private final long rate;
    private final int duration;
    private final String acks;

    private final long runId = ThreadLocalRandom.current().nextLong();
    private final String group = "load-" + Long.toHexString(runId);
    private final Histogram acknowledgedUs = new ConcurrentHistogram(HIGHEST_LATENCY_US, 3);
    private final Histogram arrivedUs = new ConcurrentHistogram(HIGHEST_LATENCY_US, 3);
    private final LongAdder sent = new LongAdder();
    private final LongAdder acknowledged = new LongAdder();
    private final LongAdder refused = new LongAdder();
    private final LongAdder read = new LongAdder();
    private final LongAdder rebalances = new LongAdder();
    private final AtomicLong lastAcknowledgedAt = new AtomicLong();
    private final AtomicLong lastReadAt = new AtomicLong();
    private final AtomicReference<Exception> refusal = new AtomicReference<>();
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private Delivery delivery;
    /** When the first record is due; 0 until the consumers are ready. */
    private volatile long startedAt;
    private volatile boolean stopping;

    private LoadTest(Properties given) {
        bootstrap = given.getProperty("bootstrap");
        topic = given.getProperty("topic", group);
        producers = Integer.parseInt(given.getProperty("producers"));
        consumers = Integer.parseInt(given.getProperty("consumers"));
        messageBytes = Integer.parseInt(given.getProperty("message-size"));
        rate = Long.parseLong(given.getProperty("target-rate"));
        duration = Integer.parseInt(given.getProperty("duration"));
        acks = given.getProperty("acks");
    }

    /** Takes what the class comment lists. */
    public static void main(String[] args) {
        Properties given = new Properties();
        for (String word : args) {
            given.setProperty(word.substring(0, word.indexOf('=')), word.substring(word.indexOf('=') + 1));
        }
        int exit;
        try {
            exit = new LoadTest(given).run(Integer.parseInt(given.getProperty("partitions"))) ? 0 : 1;
        } catch (Exception e) {
            Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
            System.out.println("the load test could not run: " + cause
                    + (cause instanceof TimeoutException ? " (is a broker serving at that address?)" : ""));
            exit = 2;
        }
        System.out.flush();
        System.exit(exit);
    }

    private boolean run(int partitionsWanted) throws Exception {
        try (AdminClient admin = AdminClient.create(Map.<String, Object>of("bootstrap.servers", bootstrap,
                "request.timeout.ms", 20_000, "default.api.timeout.ms", 20_000))) {
            boolean created = createUnlessThere(admin, partitionsWanted);
            try {
                return load(admin, partitionsOfTopic());
            } finally {
                if (created) {
                    admin.deleteTopics(List.of(topic)).all().get();
                }
            }
        }
    }

    private boolean createUnlessThere(AdminClient admin, int partitions) throws Exception {
        if (admin.listTopics().names().get().contains(topic)) {
            return false;
        }
        Map<String, String> config = new HashMap<>();
        if (messageBytes > 1_000_000) {
            config.put("max.message.bytes", String.valueOf(messageBytes + RECORD_OVERHEAD_BYTES));
        }
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(config))).all().get();
        return true;
    }

    private int partitionsOfTopic() {
        try (KafkaConsumer<byte[], byte[]> consumer = unsubscribed()) {
            return consumer.partitionsFor(topic).size();
        }
    }

    private KafkaConsumer<byte[], byte[]> unsubscribed() {
        return new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", bootstrap), new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
    }

    private boolean load(AdminClient admin, int partitions) throws Exception {
        long records = rate * (WARM_UP_SECONDS + duration);
        long[] due = new long[producers];
        for (int producer = 0; producer < producers; producer++) {
            due[producer] = records / producers + (producer < records % producers ? 1 : 0);
        }
        delivery = new Delivery(due, partitions);
        System.out.printf(Locale.ROOT, "%,d records of %,d B a second for %d + %d s: %d producers, acks=%s, %d consumers, topic %s, "
                + "%d partitions, %s%n", rate, messageBytes, WARM_UP_SECONDS, duration, producers, acks, consumers, topic, partitions,
                bootstrap);

        List<Thread> readers = new ArrayList<>();
        for (int consumer = 0; consumer < consumers; consumer++) {
            readers.add(start("consumer-" + consumer, new Reader()));
        }
        try {
            awaitReaders(admin, partitions);
            CountDownLatch ready = new CountDownLatch(producers);
            CountDownLatch go = new CountDownLatch(1);
            List<Thread> senders = new ArrayList<>();
            for (int producer = 0; producer < producers; producer++) {
                int number = producer;
                senders.add(start("producer-" + producer, () -> send(number, due[number], ready, go)));
            }
            while (!ready.await(1, TimeUnit.SECONDS)) {
                throwFailure();
            }
            startedAt = System.nanoTime();
            lastReadAt.set(startedAt);
            go.countDown();
            followUntilRead(senders, partitions);
        } finally {
            stopping = true;
            for (Thread reader : readers) {
                reader.join();
            }
        }
        return report(records);
    }

    private Thread start(String name, Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Exception e) {
                failure.compareAndSet(null, e);
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    /** What a thread does. */
    private interface Work {
        void run() throws Exception;
    }

    private void throwFailure() throws Exception {
        if (failure.get() != null) {
            throw failure.get();
        }
    }

    /** Until every consumer is a member, and every partition is read by one. */
    private void awaitReaders(AdminClient admin, int partitions) throws Exception {
        long deadline = System.nanoTime() + 60 * SECOND;
        while (true) {
            throwFailure();
            Collection<MemberDescription> members = members(admin);
            int assigned = members.stream().mapToInt(member -> member.assignment().topicPartitions().size()).sum();
            boolean positioned = true;
            for (int partition = 0; partition < partitions; partition++) {
                positioned &= delivery.next(partition) >= 0;
            }
            if (members.size() == consumers && assigned == partitions && positioned) {
                return;
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("the group did not settle in 60 s: " + members.size() + " members, " + assigned
                        + " of " + partitions + " partitions");
            }
            Thread.sleep(100);
        }
    }

    private Collection<MemberDescription> members(AdminClient admin) throws Exception {
        try {
            return admin.describeConsumerGroups(List.of(group)).all().get().get(group).members();
        } catch (ExecutionException e) {
            // Nobody has joined yet.
            if (e.getCause() instanceof GroupIdNotFoundException) {
                return List.of();
            }
            throw e;
        }
    }

    /** When a record is due: the producers take turns. */
    private long due(int producer, long sequence) {
        return startedAt + (long) ((sequence * producers + producer) * 1e9 / rate);
    }

    private boolean isTimed(long due) {
        return due >= startedAt + WARM_UP_SECONDS * SECOND;
    }

    private void send(int producer, long count, CountDownLatch ready, CountDownLatch go) throws Exception {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "client.id", "load-" + producer, "acks", acks,
                "enable.idempotence", acks.equals("all"), "request.timeout.ms", 10_000, "delivery.timeout.ms", 30_000,
                "max.block.ms", 10_000));
        if (messageBytes > 1_000_000) {
            config.put("max.request.size", messageBytes + RECORD_OVERHEAD_BYTES);
            config.put("buffer.memory", Math.max(32L << 20, 8L * messageBytes));
        }
        Payload payload = new Payload(runId, messageBytes);
        try (KafkaProducer<byte[], byte[]> client = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            client.partitionsFor(topic);
            ready.countDown();
            go.await();
            // One that cannot keep up is not let to go on for ever.
            long end = startedAt + (WARM_UP_SECONDS + duration) * SECOND * 11 / 10 + SECOND;
            for (long sequence = 0; sequence < count; sequence++) {
                long due = due(producer, sequence);
                byte[] value = payload.build(producer, sequence);
                for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
                    LockSupport.parkNanos(left);
                }
                if (System.nanoTime() > end) {
                    break;
                }
                long number = sequence;
                sent.increment();
                try {
                    client.send(new ProducerRecord<>(topic, null, value),
                            (metadata, exception) -> answered(producer, number, due, exception));
                } catch (KafkaException e) {
                    answered(producer, number, due, e);
                }
            }
            client.flush();
        }
    }

    private void answered(int producer, long sequence, long due, Exception exception) {
        if (exception != null) {
            refused.increment();
            refusal.compareAndSet(null, exception);
            return;
        }
        long now = System.nanoTime();
        delivery.acknowledged(producer, sequence);
        acknowledged.increment();
        lastAcknowledgedAt.accumulateAndGet(now, Math::max);
        if (isTimed(due)) {
            acknowledgedUs.recordValue(micros(now - due));
        }
    }

    private static long micros(long nanos) {
        return Math.min(Math.max(nanos, 0) / 1000, HIGHEST_LATENCY_US);
    }

    /** One consumer of the group. */
    private final class Reader implements Work, ConsumerRebalanceListener {
        private final Payload payload = new Payload(runId, messageBytes);
        private KafkaConsumer<byte[], byte[]> consumer;

        @Override
        public void run() {
            Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group,
                    "enable.auto.commit", "false", "auto.offset.reset", "latest"));
            consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            try {
                consumer.subscribe(List.of(topic), this);
                long committedAt = System.nanoTime();
                while (!stopping) {
                    ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                    long now = System.nanoTime();
                    if (!records.isEmpty()) {
                        lastReadAt.accumulateAndGet(now, Math::max);
                    }
                    for (ConsumerRecord<byte[], byte[]> record : records) {
                        take(record, now);
                    }
                    if (now - committedAt > SECOND) {
                        consumer.commitAsync();
                        committedAt = now;
                    }
                }
            } finally {
                consumer.close();
            }
        }

        private void take(ConsumerRecord<byte[], byte[]> record, long now) {
            read.increment();
            if (delivery.arrived(payload, record.partition(), record.offset(), record.value())) {
                long due = due(Payload.thread(record.value()), Payload.sequence(record.value()));
                if (isTimed(due)) {
                    arrivedUs.recordValue(micros(now - due));
                }
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            if (startedAt != 0) {
                rebalances.increment();
            }
            Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
            for (TopicPartition partition : partitions) {
                long position = consumer.position(partition);
                positions.put(partition, new OffsetAndMetadata(position));
                delivery.readsFrom(partition.partition(), position);
            }
            // Who has the partition next begins here, not at an end that has moved on.
            consumer.commitSync(positions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            try {
                consumer.commitSync();
            } catch (KafkaException e) {
                // Too late: what was read since the last commit is read again, and counted as that.
            }
        }

        /** Called by clients from 2.4 on; this class is built with older ones too. */
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            // Nothing can be committed.
        }
    }

    /** A line each second, until everything was sent and read, or nothing more comes. */
    private void followUntilRead(List<Thread> senders, int partitions) throws Exception {
        long sentBefore = 0;
        long readBefore = 0;
        for (int second = 1; ; second++) {
            sleepUntil(startedAt + second * SECOND);
            throwFailure();
            long sentNow = sent.sum();
            long readNow = read.sum();
            boolean sending = senders.stream().anyMatch(Thread::isAlive);
            System.out.printf(Locale.ROOT, "%4d s  sent %,9d/s  read %,9d/s  p99 so far: acknowledged %.2f ms, end to end %.2f ms%n", second,
                    sentNow - sentBefore, readNow - readBefore, acknowledgedUs.getValueAtPercentile(99) / 1000.0,
                    arrivedUs.getValueAtPercentile(99) / 1000.0);
            sentBefore = sentNow;
            readBefore = readNow;
            if (!sending && (isAllRead(partitions) || System.nanoTime() - lastReadAt.get() > PATIENCE_NS)) {
                return;
            }
        }
    }

    private static void sleepUntil(long at) throws InterruptedException {
        long left = at - System.nanoTime();
        if (left > 0) {
            TimeUnit.NANOSECONDS.sleep(left);
        }
    }

    /** To the ends of the partitions, where a second copy of a record would be. */
    private boolean isAllRead(int partitions) {
        if (delivery.account().missing() > 0) {
            return false;
        }
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < partitions; partition++) {
            all.add(new TopicPartition(topic, partition));
        }
        try (KafkaConsumer<byte[], byte[]> consumer = unsubscribed()) {
            return consumer.endOffsets(all).entrySet().stream()
                    .allMatch(end -> delivery.next(end.getKey().partition()) >= end.getValue());
        }
    }

    private boolean report(long records) {
        Delivery.Account account = delivery.account();
        double acknowledgedPerSecond = perSecond(acknowledged.sum(), lastAcknowledgedAt.get());
        double readPerSecond = perSecond(account.arrived(), lastReadAt.get());
        System.out.printf(Locale.ROOT, "%n%-24s %12s %12s %12s%n", "per second", "target", "reached", "MB");
        for (var row : List.of(Map.entry("acknowledged", acknowledgedPerSecond), Map.entry("read", readPerSecond))) {
            System.out.printf(Locale.ROOT, "%-24s %,12d %,12.0f %12.1f%n", row.getKey(), rate, row.getValue(), row.getValue() * messageBytes / 1e6);
        }
        System.out.printf(Locale.ROOT, "%n%-24s %10s %10s %10s %10s %10s%n", "ms since it was due", "p50", "p99", "p99.9", "p99.99", "max");
        latencies("acknowledged", acknowledgedUs);
        latencies("read (end to end)", arrivedUs);
        System.out.printf(Locale.ROOT, "%nrecords%n");
        Map<String, Long> counts = new LinkedHashMap<>();
        counts.put("due", records);
        counts.put("not sent in time", records - sent.sum());
        counts.put("refused", refused.sum());
        counts.put("acknowledged", account.acknowledged());
        counts.put("read", account.arrived());
        counts.put("missing", account.missing());
        counts.put("duplicated", account.duplicated());
        counts.put("changed", account.changed());
        counts.put("out of order", account.outOfOrder());
        counts.put("read again (rebalance)", account.redelivered());
        counts.forEach((name, count) -> System.out.printf(Locale.ROOT, "%-24s %,12d%n", name, count));
        System.out.println();
        if (refusal.get() != null) {
            System.out.println("the first that was refused: " + refusal.get());
        }
        // Without a change of members nothing is read again.
        boolean whole = account.isWhole() && (account.redelivered() == 0 || rebalances.sum() > 0);
        if (!whole) {
            System.out.println("FAILED: not every acknowledged record arrived once, unchanged and in order"
                    + (account.example() == null ? "" : ": " + account.example()));
        } else if (refused.sum() > 0) {
            System.out.println("FAILED: sends were refused; every record that was acknowledged arrived once, unchanged and in order");
        } else {
            System.out.println("every acknowledged record arrived once, unchanged and in order");
        }
        return whole && refused.sum() == 0;
    }

    private double perSecond(long count, long until) {
        return until <= startedAt ? 0 : count * 1e9 / Math.max(until - startedAt, (WARM_UP_SECONDS + duration) * SECOND);
    }

    private static void latencies(String name, Histogram us) {
        System.out.printf(Locale.ROOT, "%-24s", name);
        for (double percent : new double[] {50, 99, 99.9, 99.99, 100}) {
            // Nothing was timed where the producers never got beyond the first second's records.
            System.out.printf(" %10s", us.getTotalCount() == 0 ? "-"
                    : String.format(Locale.ROOT, "%.2f", us.getValueAtPercentile(percent) / 1000.0));
        }
        System.out.println();
    }
}
