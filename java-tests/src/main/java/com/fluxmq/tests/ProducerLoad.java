package com.fluxmq.tests;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.HdrHistogram.Histogram;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Sends a run's records from all its threads at once, each thread with a producer of its own.
 *
 * <p>Without a rate each thread sends as fast as its producer takes records. With one every record has a time at which it is
 * due, and its latency counts from then: what a stall holds up is counted for as long as it was held up, also where it kept
 * the thread from sending at all.
 */
final class ProducerLoad {
    /**
     * What came of it.
     *
     * @param byThread  how many records each thread sent
     * @param seconds   from the first send until the last producer was closed
     * @param latencyUs until a record was acknowledged, in microseconds; null where nobody asked
     */
    record Result(long[] byThread, double seconds, Histogram latencyUs) {
        /** How many records all threads sent. */
        long records() {
            return Arrays.stream(byThread).sum();
        }

        /** The quantiles of {@link #latencyUs}, for people. */
        String latencies() {
            return String.format(Locale.ROOT, "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, p99.99 %.2f ms, at most %.2f ms",
                    quantileMs(50), quantileMs(99), quantileMs(99.9), quantileMs(99.99), quantileMs(100));
        }

        /** A quantile of {@link #latencyUs}, in milliseconds. */
        double quantileMs(double percent) {
            return ProducerLoad.quantileMs(latencyUs, percent);
        }
    }

    /** Longer ones are recorded as this: 10 minutes. */
    private static final long HIGHEST_LATENCY_US = 600_000_000;

    private final Settings settings;
    private final String topic;
    private final long runId;
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private final AtomicLong startedAt = new AtomicLong();
    private final CountDownLatch started = new CountDownLatch(1);

    /**
     * @param topic takes the records
     * @param runId is in each of them
     */
    ProducerLoad(Settings settings, String topic, long runId) {
        this.settings = settings;
        this.topic = topic;
        this.runId = runId;
    }

    /**
     * Sends so many records.
     *
     * @throws IllegalStateException when one of them wasn't taken
     */
    Result run(long messages) throws Exception {
        return run(messages, () -> false);
    }

    /**
     * Sends records until it is enough, and at most so many.
     *
     * @throws IllegalStateException when one of them wasn't taken
     */
    Result run(long messages, BooleanSupplier enough) throws Exception {
        int threads = settings.threads();
        long[] sent = shares(messages, threads);
        CyclicBarrier ready = new CyclicBarrier(threads, () -> {
            startedAt.set(System.nanoTime());
            started.countDown();
        });
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Callable<Histogram>> work = new ArrayList<>();
            for (int t = 0; t < threads; t++) {
                int thread = t;
                work.add(() -> sendAll(thread, sent, ready, enough));
            }
            List<Future<Histogram>> done = pool.invokeAll(work);
            double seconds = (System.nanoTime() - startedAt.get()) / 1e9;
            Histogram all = settings.latency() ? newHistogram() : null;
            for (Future<Histogram> future : done) {
                Histogram own = future.get();
                if (all != null) {
                    all.add(own);
                }
            }
            if (failure.get() != null) {
                throw new IllegalStateException("a send failed: " + failure.get(), failure.get());
            }
            return new Result(sent, seconds, all);
        } finally {
            pool.shutdownNow();
        }
    }

    /** How many of so many records each thread sends. */
    static long[] shares(long messages, int threads) {
        long[] shares = new long[threads];
        Arrays.fill(shares, messages / threads);
        for (int t = 0; t < messages % threads; t++) {
            shares[t]++;
        }
        return shares;
    }

    /** Waits until the producers are connected and the first record is due. */
    void awaitStart() throws InterruptedException {
        if (!started.await(settings.deadlineMs(), TimeUnit.MILLISECONDS)) {
            throw new IllegalStateException("the producers have not started in " + settings.deadlineMs() + " ms");
        }
    }

    /** A quantile of a histogram of microseconds, in milliseconds. */
    static double quantileMs(Histogram latencyUs, double percent) {
        return latencyUs.getValueAtPercentile(percent) / 1000.0;
    }

    static Histogram newHistogram() {
        return new Histogram(HIGHEST_LATENCY_US, 3);
    }

    /** Adds a time that has passed to a histogram of microseconds. */
    static void record(Histogram latencyUs, long nanos) {
        latencyUs.recordValue(Math.min(Math.max(nanos / 1000, 0), HIGHEST_LATENCY_US));
    }

    /** Sends the thread's share, and writes down how many that were if it was enough before. */
    private Histogram sendAll(int thread, long[] sent, CyclicBarrier ready, BooleanSupplier enough) throws Exception {
        long count = sent[thread];
        Map<String, Object> config = new HashMap<>(settings.producer());
        config.put("bootstrap.servers", settings.bootstrap());
        config.put("client.id", settings.name() + "-" + thread);
        long inTransaction = settings.transactionRecords();
        if (inTransaction > 0) {
            config.put("transactional.id", settings.name() + "-" + Long.toHexString(runId) + "-" + thread);
        }
        Payload payload = new Payload(runId, settings.messageBytes());
        Histogram latencyUs = settings.latency() ? newHistogram() : null;
        Callback untimed = (metadata, exception) -> check(exception);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(),
                new ByteArraySerializer())) {
            producer.partitionsFor(topic);
            if (inTransaction > 0) {
                producer.initTransactions();
            }
            ready.await();
            for (long sequence = 0; sequence < count; sequence++) {
                byte[] value = payload.build(thread, sequence);
                Callback callback = settings.latency() ? timed(latencyUs, due(thread, sequence)) : untimed;
                if (settings.rate() > 0) {
                    sleepUntil(due(thread, sequence));
                }
                if ((inTransaction == 0 || sequence % inTransaction == 0) && enough.getAsBoolean()) {
                    sent[thread] = sequence;
                    break;
                }
                if (inTransaction > 0 && sequence % inTransaction == 0) {
                    producer.beginTransaction();
                }
                producer.send(new ProducerRecord<>(topic, null, value), callback);
                if (inTransaction > 0 && (sequence % inTransaction == inTransaction - 1 || sequence == count - 1)) {
                    producer.commitTransaction();
                }
            }
            producer.flush();
        }
        return latencyUs;
    }

    /** When a thread's record is due, on the clock of {@code System.nanoTime}; now, where there is no rate. */
    long due(int thread, long sequence) {
        if (settings.rate() == 0) {
            return System.nanoTime();
        }
        // The threads take turns: thread t has every threads-th record, from the t-th on.
        return startedAt.get() + (long) ((sequence * settings.threads() + thread) * 1e9 / settings.rate());
    }

    private static void sleepUntil(long due) {
        for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
    }

    /** The producer calls back from one thread, so its histogram has one writer. */
    private Callback timed(Histogram latencyUs, long since) {
        return (metadata, exception) -> {
            record(latencyUs, System.nanoTime() - since);
            check(exception);
        };
    }

    private void check(Exception exception) {
        if (exception != null) {
            failure.compareAndSet(null, exception);
        }
    }
}
