package com.fluxmq.tests;

import java.util.Map;

/** Throughput as the Java client comes, batches of 16 KB, but with acks=1: the leader answers from its page cache. 4 threads. {@link Settings} lists what can be changed. */
public final class FluxMQBenchmark {
    private FluxMQBenchmark() {
    }

    /** Takes no arguments; settings come as system properties. */
    public static void main(String[] args) {
        BenchmarkRun.main("FluxMQBenchmark", 4, Map.ofEntries(
                Map.entry("acks", "1"),
                Map.entry("batch.size", "16384"),
                Map.entry("linger.ms", "5"),
                Map.entry("enable.idempotence", "false")));
    }
}
