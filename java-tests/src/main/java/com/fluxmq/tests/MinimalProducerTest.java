package com.fluxmq.tests;

import java.util.Map;

/** One thread, batches of 1 KB, and for the rest the Java client's own defaults: acks=all and idempotence. {@link Settings} lists what can be changed. */
public final class MinimalProducerTest {
    private MinimalProducerTest() {
    }

    /** Takes no arguments; settings come as system properties. */
    public static void main(String[] args) {
        BenchmarkRun.main("MinimalProducerTest", 1, Map.ofEntries(
                Map.entry("batch.size", "1024")));
    }
}
