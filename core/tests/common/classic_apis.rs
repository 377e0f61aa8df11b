//! Every version of the requests by which a classic group is rebalanced, each in a group of its own.

use bytes::Bytes;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use fluxmq_protocol::messages::{
    ApiKey, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    SyncGroupRequest, SyncGroupResponse,
};

use super::offset_apis::text;
use super::raw::RawClient;

const MEMBER_ID_REQUIRED: i16 = 79;
const UNKNOWN_MEMBER_ID: i16 = 25;
/// The versions with which a group is brought to where a version of another request is asked.
const NEWEST_JOIN: i16 = 9;
const NEWEST_SYNC: i16 = 5;

/// A request to join `group` as a member without an id.
pub(crate) fn join_request(group: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"subscribed"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// Joins as the only member, with the id that the broker gives.
pub(crate) fn join(client: &mut RawClient, version: i16, group: &str) -> JoinGroupResponse {
    let first = client.call(version, &join_request(group, ""));
    if version < 4 {
        return first;
    }
    assert_eq!(first.error_code, MEMBER_ID_REQUIRED, "v{version}");
    client.call(version, &join_request(group, &first.member_id))
}

/// The leader's assignment.
pub(crate) fn sync(
    client: &mut RawClient,
    version: i16,
    group: &str,
    joined: &JoinGroupResponse,
) -> SyncGroupResponse {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"assigned"));
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    let request = if version >= 5 {
        request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range")))
    } else {
        request
    };
    client.call(version, &request)
}

/// Asks one version of one of the requests.
pub(crate) fn ask(client: &mut RawClient, key: ApiKey, version: i16) {
    let group = format!("classic-{key:?}-{version}");
    if key == ApiKey::JoinGroup {
        let joined = join(client, version, &group);
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "v{version}");
        assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1), "v{version}");
        assert_eq!(joined.protocol_name, Some(text("range")), "v{version}");
        assert_eq!(joined.protocol_type, (version >= 7).then(|| text("consumer")), "v{version}");
        return;
    }
    let joined = join(client, NEWEST_JOIN, &group);
    if key == ApiKey::SyncGroup {
        let synced = sync(client, version, &group, &joined);
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"assigned"[..]), "v{version}");
        assert_eq!(synced.protocol_name, (version >= 5).then(|| text("range")), "v{version}");
        return;
    }
    sync(client, NEWEST_SYNC, &group, &joined);
    match key {
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default()
                .with_group_id(GroupId(text(&group)))
                .with_generation_id(1)
                .with_member_id(joined.member_id);
            assert_eq!(client.call(version, &request).error_code, 0, "v{version}");
            let unknown = request.with_member_id(StrBytes::from_static_str("unknown"));
            assert_eq!(client.call(version, &unknown).error_code, UNKNOWN_MEMBER_ID, "v{version}");
        }
        ApiKey::LeaveGroup => leave(client, version, &group, &joined.member_id),
        key => panic!("{key:?} has no request here"),
    }
}

fn leave(client: &mut RawClient, version: i16, group: &str, member_id: &StrBytes) {
    let request = LeaveGroupRequest::default().with_group_id(GroupId(text(group)));
    let request = if version >= 3 {
        let member = |id: &StrBytes| MemberIdentity::default().with_member_id(id.clone());
        request.with_members(vec![member(&StrBytes::from_static_str("unknown")), member(member_id)])
    } else {
        request.with_member_id(member_id.clone())
    };
    let response = client.call(version, &request);
    assert_eq!(response.error_code, 0, "v{version}");
    if version >= 3 {
        let members: Vec<_> = response.members.iter().map(|member| member.error_code).collect();
        assert_eq!(members, [UNKNOWN_MEMBER_ID, 0], "v{version}");
    } else {
        assert_eq!(client.call(version, &request).error_code, UNKNOWN_MEMBER_ID, "v{version}");
    }
}
