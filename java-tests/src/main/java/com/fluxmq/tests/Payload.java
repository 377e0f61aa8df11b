package com.fluxmq.tests;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.CRC32C;

/**
 * The value of a benchmark's record: run id, thread, sequence and checksum, then text that those three decide.
 *
 * <p>A reader needs nothing but the record to tell what it must hold, so reading back keeps no copy of what was sent.
 * The text is words in random order (lz4 halves it); constant or random bytes would make any codec look better or worse
 * than it is.
 *
 * <p>Not thread-safe: one instance per thread.
 */
final class Payload {
    /** Run id (8 bytes), thread (4), sequence (8), CRC-32C of the rest (4). */
    static final int HEADER_BYTES = 24;

    private static final int CHECKSUM_AT = 20;
    private static final byte[] TEXT = text();

    private final long runId;
    private final byte[] value;
    private final ByteBuffer view;
    private final CRC32C crc = new CRC32C();

    /**
     * @param runId        tells this run's records from any others
     * @param messageBytes bytes of a value, at least {@link #HEADER_BYTES}
     */
    Payload(long runId, int messageBytes) {
        this.runId = runId;
        this.value = new byte[messageBytes];
        this.view = ByteBuffer.wrap(value);
    }

    /** Builds a record's value. The array is used again by the next call; {@code KafkaProducer.send} has copied it by then. */
    byte[] build(int thread, long sequence) {
        view.putLong(0, runId);
        view.putInt(8, thread);
        view.putLong(12, sequence);
        int left = value.length - HEADER_BYTES;
        int at = HEADER_BYTES;
        int from = place(thread, sequence);
        while (left > 0) {
            int n = Math.min(left, TEXT.length - from);
            System.arraycopy(TEXT, from, value, at, n);
            at += n;
            left -= n;
            from = 0;
        }
        view.putInt(CHECKSUM_AT, checksum(value));
        return value;
    }

    /** Whether a record that was read is, to the last byte, what {@link #build} made for the thread and sequence it names. */
    boolean matches(byte[] read) {
        return read != null && read.length == value.length && Arrays.equals(read, build(thread(read), sequence(read)));
    }

    /** Whether a record that does not match at least carries a right checksum: then it is not this run's, not damaged. */
    boolean isForeign(byte[] read) {
        return read != null && read.length >= HEADER_BYTES
                && checksum(read) == ByteBuffer.wrap(read).getInt(CHECKSUM_AT)
                && ByteBuffer.wrap(read).getLong(0) != runId;
    }

    static int thread(byte[] read) {
        return ByteBuffer.wrap(read).getInt(8);
    }

    static long sequence(byte[] read) {
        return ByteBuffer.wrap(read).getLong(12);
    }

    private int checksum(byte[] bytes) {
        crc.reset();
        crc.update(bytes, 0, CHECKSUM_AT);
        crc.update(bytes, HEADER_BYTES, bytes.length - HEADER_BYTES);
        return (int) crc.getValue();
    }

    /** Where a record's text begins: the 64-bit finalizer of MurmurHash3 over what names the record. */
    private int place(int thread, long sequence) {
        long h = runId ^ ((long) thread << 48) ^ sequence;
        h = (h ^ (h >>> 33)) * 0xff51afd7ed558ccdL;
        h = (h ^ (h >>> 33)) * 0xc4ceb9fe1a85ec53L;
        return (int) ((h ^ (h >>> 33)) & (TEXT.length - 1));
    }

    private static byte[] text() {
        String[] words = {"order", "paid", "user", "status", "warehouse", "shipment", "Berlin", "Nairobi", "Lima", "EUR",
            "temperature", "sensor", "true", "false", "created", "cancelled", "retry", "checkout", "payment", "region"};
        Random random = new Random(20_110_111);
        StringBuilder text = new StringBuilder(1 << 20);
        while (text.length() < 1 << 20) {
            text.append(words[random.nextInt(words.length)]).append(' ').append(random.nextInt(1_000_000)).append(' ');
        }
        text.setLength(1 << 20);
        return text.toString().getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    }
}
