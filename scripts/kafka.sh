#!/usr/bin/env bash
# Apache Kafka from Maven Central: the server to compare with, and its command-line tools.
#
#   kafka.sh libs                            fetch the jars once; prints their directory
#   kafka.sh start DIR PORT [key=value ...]  one KRaft node (broker and controller; the controller listens on PORT+1).
#                                            Returns when it serves. DIR keeps data/, server.properties, server.log, kafka.pid.
#                                            A DIR that was used before is started again on its data.
#   kafka.sh stop DIR                        SIGTERM, and SIGKILL after 30 s
#   kafka.sh pid DIR                         prints the process id
#   kafka.sh tool NAME [argument ...]        NAME as in Kafka's bin/: kafka-topics.sh, kafka-dump-log.sh, ...
#   kafka.sh tools                           lists the names
#   kafka.sh class NAME                      prints NAME's main class
#
# --version X.Y.Z as the first argument after the command, or KAFKA_VERSION, takes another Kafka than 4.3.0.
# KAFKA_LIBS names a directory that holds the jars already. KAFKA_HEAP_OPTS and KAFKA_TOOL_OPTS reach the JVMs.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

fail() {
    echo "kafka.sh: $*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set -euo/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# Prints the directory with the jars; fetches them through Maven when it isn't there yet.
libs() {
    if [[ -n ${KAFKA_LIBS:-} ]]; then
        echo "$KAFKA_LIBS"
        return
    fi
    local dir=$root/target/kafka-$version/libs pom=$root/java-tests/kafka/pom.xml
    if ! cmp -s "$pom" "$dir/.complete"; then
        mkdir -p "$dir"
        (
            flock 9
            cmp -s "$pom" "$dir/.complete" || {
                mvn -q -B -f "$pom" dependency:copy-dependencies \
                    -Dkafka.version="$version" -DincludeScope=runtime -DoutputDirectory="$dir" >&2
                cp "$pom" "$dir/.complete"
            }
        ) 9>"$dir/.lock" || fail "Maven could not fetch Kafka $version"
    fi
    echo "$dir"
}

class_of() {
    case ${1%.sh} in
    connect-distributed) echo org.apache.kafka.connect.cli.ConnectDistributed ;;
    connect-standalone) echo org.apache.kafka.connect.cli.ConnectStandalone ;;
    kafka-acls) echo org.apache.kafka.tools.AclCommand ;;
    kafka-broker-api-versions) echo org.apache.kafka.tools.BrokerApiVersionsCommand ;;
    kafka-cluster) echo org.apache.kafka.tools.ClusterTool ;;
    kafka-configs) echo kafka.admin.ConfigCommand ;;
    kafka-console-consumer) echo org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    kafka-console-producer) echo org.apache.kafka.tools.ConsoleProducer ;;
    kafka-console-share-consumer) echo org.apache.kafka.tools.consumer.ConsoleShareConsumer ;;
    kafka-consumer-groups) echo org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    kafka-consumer-perf-test) echo org.apache.kafka.tools.ConsumerPerformance ;;
    kafka-delegation-tokens) echo org.apache.kafka.tools.DelegationTokenCommand ;;
    kafka-delete-records) echo org.apache.kafka.tools.DeleteRecordsCommand ;;
    kafka-dump-log) echo org.apache.kafka.tools.DumpLogSegments ;;
    kafka-e2e-latency) echo org.apache.kafka.tools.EndToEndLatency ;;
    kafka-features) echo org.apache.kafka.tools.FeatureCommand ;;
    kafka-get-offsets) echo org.apache.kafka.tools.GetOffsetShell ;;
    kafka-groups) echo org.apache.kafka.tools.GroupsCommand ;;
    kafka-leader-election) echo org.apache.kafka.tools.LeaderElectionCommand ;;
    kafka-log-dirs) echo org.apache.kafka.tools.LogDirsCommand ;;
    kafka-metadata-quorum) echo org.apache.kafka.tools.MetadataQuorumCommand ;;
    kafka-producer-perf-test) echo org.apache.kafka.tools.ProducerPerformance ;;
    kafka-reassign-partitions) echo org.apache.kafka.tools.reassign.ReassignPartitionsCommand ;;
    kafka-replica-verification) echo org.apache.kafka.tools.ReplicaVerificationTool ;;
    kafka-storage) echo kafka.tools.StorageTool ;;
    kafka-streams-application-reset) echo org.apache.kafka.tools.StreamsResetter ;;
    kafka-topics) echo org.apache.kafka.tools.TopicCommand ;;
    kafka-transactions) echo org.apache.kafka.tools.TransactionsCommand ;;
    kafka-verifiable-consumer) echo org.apache.kafka.tools.VerifiableConsumer ;;
    kafka-verifiable-producer) echo org.apache.kafka.tools.VerifiableProducer ;;
    *) return 1 ;;
    esac
}

tool() {
    local name=${1:-} class
    [[ -n $name ]] || usage
    shift
    class=$(class_of "$name") || fail "no tool named $name; kafka.sh tools lists them"
    # shellcheck disable=SC2086  # the options are words
    exec "$java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_TOOL_OPTS:-} \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$(libs)/*" "$class" "$@"
}

new_cluster_id() {
    local id
    while :; do
        id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)
        [[ $id == -* ]] || break
    done
    echo "$id"
}

start() {
    local dir=${1:-} port=${2:-} controller jars pid
    [[ -n $dir && $port =~ ^[0-9]+$ ]] || usage
    shift 2
    controller=$((port + 1))
    jars=$(libs)
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [[ -f $dir/kafka.pid ]] && kill -0 "$(cat "$dir/kafka.pid")" 2>/dev/null; then
        fail "already running in $dir, process $(cat "$dir/kafka.pid")"
    fi

    # Kafka's own quickstart settings (config/server.properties), on loopback.
    {
        cat <<-PROPERTIES
			process.roles=broker,controller
			node.id=1
			controller.quorum.voters=1@localhost:$controller
			listeners=PLAINTEXT://localhost:$port,CONTROLLER://localhost:$controller
			advertised.listeners=PLAINTEXT://localhost:$port
			inter.broker.listener.name=PLAINTEXT
			controller.listener.names=CONTROLLER
			listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
			num.network.threads=3
			num.io.threads=8
			socket.send.buffer.bytes=102400
			socket.receive.buffer.bytes=102400
			socket.request.max.bytes=104857600
			log.dirs=$dir/data
			num.partitions=1
			num.recovery.threads.per.data.dir=2
			offsets.topic.replication.factor=1
			share.coordinator.state.topic.replication.factor=1
			share.coordinator.state.topic.min.isr=1
			transaction.state.log.replication.factor=1
			transaction.state.log.min.isr=1
			group.initial.rebalance.delay.ms=0
			log.retention.hours=168
			log.segment.bytes=1073741824
			log.retention.check.interval.ms=300000
		PROPERTIES
        printf '%s\n' "$@"
    } >"$dir/server.properties"

    if [[ ! -f $dir/data/meta.properties ]]; then
        (tool kafka-storage.sh format --cluster-id "$(new_cluster_id)" --config "$dir/server.properties") \
            >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; fail "formatting $dir/data failed"; }
    fi

    # The flags of Kafka's own kafka-run-class.sh and kafka-server-start.sh.
    # shellcheck disable=SC2086
    setsid nohup "$java" ${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G} -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
        -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 \
        -Djava.awt.headless=true \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info \
        -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS \
        -cp "$jars/*" kafka.Kafka "$dir/server.properties" >"$dir/server.log" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid" >"$dir/kafka.pid"
    for _ in $(seq 600); do
        if grep -q 'Kafka Server started' "$dir/server.log"; then
            echo "Kafka $version ready on localhost:$port, process $pid"
            return
        fi
        kill -0 "$pid" 2>/dev/null || { tail -20 "$dir/server.log" >&2; fail "the server ended; see $dir/server.log"; }
        sleep 0.1
    done
    kill -9 "$pid"
    fail "not ready after 60 s; see $dir/server.log"
}

stop() {
    local dir=${1:-} pid
    [[ -n $dir ]] || usage
    [[ -f $dir/kafka.pid ]] || return 0
    pid=$(cat "$dir/kafka.pid")
    rm -f "$dir/kafka.pid"
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "kafka.sh: process $pid did not stop in 30 s; killed" >&2
    kill -9 "$pid" 2>/dev/null || true
}

command=${1:-}
[[ -n $command ]] || usage
shift
version=${KAFKA_VERSION:-4.3.0}
if [[ ${1:-} == --version && ${2:-} =~ ^[0-9]+\. ]]; then
    version=$2
    shift 2
fi
case $command in
libs) libs ;;
start) start "$@" ;;
stop) stop "$@" ;;
pid) cat "${1:?the directory}/kafka.pid" ;;
tool) tool "$@" ;;
class) class_of "${1:?the name of a tool}" ;;
tools) sed -n 's/^    \(\(kafka\|connect\)-[a-z0-9-]*\)) echo .*/\1.sh/p' "${BASH_SOURCE[0]}" ;;
*) usage ;;
esac
