package com.fluxmq.tests;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;

/**
 * What one benchmark does: the producer's settings, the load, and what a person changed on the command line.
 *
 * <p>Every field can be set with {@code -D}; {@link #fromCommandLine} lists the names. {@code -Dproducer.<key>=<value>}
 * passes any other producer setting through.
 *
 * @param name            the benchmark's name, printed with its results
 * @param bootstrap       {@code -Dbootstrap}, or the environment's BOOTSTRAP; default localhost:9092
 * @param threads         {@code -Dthreads}: threads, each with a producer of its own
 * @param messages        {@code -Dmessages}: records per run over all threads
 * @param warmupMessages  {@code -Dwarmup.messages}: records of one run before the counted ones; 0 for none
 * @param messageBytes    {@code -Dmessage.size}: bytes of a record's value
 * @param partitions      {@code -Dpartitions}: partitions of the topic that each run creates
 * @param runs            {@code -Druns}: runs in this JVM
 * @param brokerPid       {@code -Dbroker.pid}: the broker's process on this machine, to print its CPU time; 0 for none
 * @param deadlineMs      {@code -Ddeadline.ms}: how long after the last close a record may take to become readable
 * @param lostAllowed     {@code -Dlost.allowed=true}: print missing records without failing. For comparisons with a broker
 *                        that drops what an acks=0 client sent just before it closed; a changed record still fails
 * @param csv             {@code -Dcsv}: a file to which each run adds a line; null for none
 * @param rate            {@code -Drate}: records per second over all threads, each sent when it is due whatever became of
 *                        those before it; 0 for as fast as it goes
 * @param latency         {@code -Dlatency=true}, or a rate: time each record until it is acknowledged, from when it was due
 * @param transactionRecords {@code -Dtransaction.records}: records of a transaction, each thread having its own; 0 for none
 * @param producer        the producer's settings, without the serializers and the bootstrap address
 */
record Settings(String name, String bootstrap, int threads, long messages, long warmupMessages, int messageBytes,
                int partitions, int runs, long brokerPid, long deadlineMs, boolean lostAllowed,
                Path csv, long rate, boolean latency, long transactionRecords, Map<String, String> producer) {

    /** Why 100 bytes: the size of a log line or an event, where the cost of a message counts and not that of its bytes. */
    private static final int DEFAULT_MESSAGE_BYTES = 100;

    Settings {
        require(threads >= 1, "threads", threads);
        require(messages >= threads, "messages", messages);
        require(warmupMessages == 0 || warmupMessages >= threads, "warmup.messages", warmupMessages);
        require(messageBytes >= Payload.HEADER_BYTES, "message.size", messageBytes);
        require(partitions >= 1, "partitions", partitions);
        require(runs >= 1, "runs", runs);
        require(rate >= 0, "rate", rate);
    }

    /**
     * Reads the system properties over a benchmark's own values.
     *
     * @param name     the benchmark's name
     * @param threads  its number of threads
     * @param producer its producer settings
     */
    static Settings fromCommandLine(String name, int threads, Map<String, String> producer) {
        return of(System.getProperties(), name, threads, producer);
    }

    /**
     * Reads what was given over a benchmark's own values.
     *
     * @param given    the values, under the names of the system properties
     * @param name     the benchmark's name
     * @param threads  its number of threads
     * @param producer its producer settings
     */
    static Settings of(Properties given, String name, int threads, Map<String, String> producer) {
        Map<String, String> merged = new LinkedHashMap<>(producer);
        for (String key : given.stringPropertyNames()) {
            if (key.startsWith("producer.")) {
                merged.put(key.substring("producer.".length()), given.getProperty(key));
            }
        }
        String environment = System.getenv("BOOTSTRAP");
        String bootstrap = environment == null || environment.isBlank() ? "localhost:9092" : environment;
        return new Settings(
                name,
                given.getProperty("bootstrap", bootstrap),
                (int) number(given, "threads", threads),
                number(given, "messages", 100_000),
                number(given, "warmup.messages", 0),
                (int) number(given, "message.size", DEFAULT_MESSAGE_BYTES),
                (int) number(given, "partitions", 8),
                (int) number(given, "runs", 5),
                number(given, "broker.pid", 0),
                number(given, "deadline.ms", 60_000),
                Boolean.parseBoolean(given.getProperty("lost.allowed")),
                given.getProperty("csv") == null ? null : Path.of(given.getProperty("csv")),
                number(given, "rate", 0),
                Boolean.parseBoolean(given.getProperty("latency")) || number(given, "rate", 0) > 0,
                number(given, "transaction.records", 0),
                merged);
    }

    private static long number(Properties given, String key, long otherwise) {
        String value = given.getProperty(key);
        if (value == null) {
            return otherwise;
        }
        try {
            return Long.parseLong(value.replace("_", ""));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("-D" + key + "=" + value + " is not a number");
        }
    }

    private static void require(boolean holds, String key, long value) {
        if (!holds) {
            throw new IllegalArgumentException("-D" + key + "=" + value + " is too small");
        }
    }
}
