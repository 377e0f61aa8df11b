package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** The load test's account notices what it is there to notice. */
class DeliveryTest {
    private static final long RUN = 42;
    private static final int BYTES = 100;
    private static final int RECORDS = 130;

    private final Delivery delivery = new Delivery(new long[] {RECORDS, RECORDS}, 2);
    private final Payload payload = new Payload(RUN, BYTES);
    private long offset;

    private byte[] value(int producer, long sequence) {
        return new Payload(RUN, BYTES).build(producer, sequence).clone();
    }

    private boolean read(byte[] value) {
        return delivery.arrived(payload, 0, offset++, value);
    }

    /** All of both producers' records are acknowledged and read, but for one of the second producer that isn't read. */
    private Delivery.Account allBut(long sequence) {
        delivery.readsFrom(0, 0);
        for (long s = 0; s < RECORDS; s++) {
            for (int producer = 0; producer < 2; producer++) {
                delivery.acknowledged(producer, s);
                if (producer == 0 || s != sequence) {
                    assertTrue(read(value(producer, s)));
                }
            }
        }
        return delivery.account();
    }

    @Test
    void aWholeRunIsWhole() {
        Delivery.Account account = allBut(-1);
        assertTrue(account.isWhole(), account.toString());
        assertEquals(2 * RECORDS, account.acknowledged());
        assertEquals(2 * RECORDS, account.arrived());
        assertEquals(offset, delivery.next(0));
        assertEquals(-1, delivery.next(1));
    }

    @Test
    void aLostRecord() {
        for (long sequence : new long[] {0, 63, 64, RECORDS - 1}) {
            Delivery.Account account = new DeliveryTest().allBut(sequence);
            assertEquals(1, account.missing());
            assertFalse(account.isWhole());
            assertEquals("record " + sequence + " of producer 1 did not arrive", account.example());
        }
    }

    @Test
    void oneThatNobodyAcknowledgedMayArriveOrNot() {
        delivery.acknowledged(0, 0);
        assertTrue(read(value(0, 0)));
        assertTrue(read(value(0, 1)));
        assertTrue(delivery.account().isWhole(), delivery.account().toString());
    }

    @Test
    void aDuplicateInTheSameAndInAnotherPartition() {
        allBut(-1);
        assertFalse(read(value(0, RECORDS - 1)));
        assertFalse(delivery.arrived(payload, 1, 0, value(1, 3)));
        assertEquals(2, delivery.account().duplicated());
        assertEquals(0, delivery.account().missing());
        assertFalse(delivery.account().isWhole());
    }

    @Test
    void whatAGroupReadsAgainIsNoDuplicate() {
        allBut(-1);
        assertFalse(delivery.arrived(payload, 0, offset - 1, value(1, RECORDS - 1)));
        assertEquals(1, delivery.account().redelivered());
        assertEquals(0, delivery.account().duplicated());
        assertTrue(delivery.account().isWhole());
    }

    @Test
    void aChangedByte() {
        allBut(5);
        for (int at : new int[] {0, 8, 12, 19, 20, 24, 99}) {
            byte[] value = value(1, 5);
            value[at] ^= 1;
            assertFalse(read(value), "byte " + at);
        }
        assertEquals(7, delivery.account().changed());
        assertEquals(1, delivery.account().missing());
        assertFalse(delivery.account().isWhole());
        assertNotNull(delivery.account().example());
    }

    @Test
    void shorterLongerEmptyNullForeignOrNeverSent() {
        allBut(-1);
        byte[][] wrong = {Arrays.copyOf(value(0, 5), BYTES - 1), Arrays.copyOf(value(0, 5), BYTES + 1), new byte[0], null,
            new Payload(RUN + 1, BYTES).build(0, 5), value(0, RECORDS), value(2, 0), value(-1, 0), value(0, -1)};
        for (byte[] value : wrong) {
            assertFalse(read(value));
        }
        assertEquals(wrong.length, delivery.account().changed());
        assertEquals(0, delivery.account().missing());
        assertFalse(delivery.account().isWhole());
    }

    @Test
    void anEarlierRecordBehindALaterOne() {
        allBut(3);
        assertTrue(read(value(1, 3)));
        assertEquals(1, delivery.account().outOfOrder());
        assertEquals(0, delivery.account().missing());
        assertFalse(delivery.account().isWhole());
    }
}
