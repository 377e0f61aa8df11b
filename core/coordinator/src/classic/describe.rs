//! DescribeGroups, versions 0–6: what classic groups are at present. What a client may do with them, and whether it may
//! look, is not known here.

use fluxmq_protocol::messages::GroupId;
use fluxmq_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group::{ClassicGroup, ClassicGroupState};
use crate::group::Group;
use crate::shard::{GroupShard, told};

/// Before it a group that is not there is one that is dead (KIP-1043).
const FIRST_VERSION_OF_NOT_FOUND: i16 = 6;

impl GroupShard {
    /// The groups of these names, in this order.
    #[must_use]
    pub fn describe_groups(&self, version: i16, ids: &[GroupId]) -> Vec<DescribedGroup> {
        let describe = |id: &GroupId| match self.groups.get(&id.0) {
            Some(Group::Classic(group)) => group.describe(),
            Some(Group::Consumer(_)) => {
                not_found(version, id, format!("Group {} is not a classic group.", id.0))
            }
            None => not_found(version, id, format!("Group {} not found.", id.0)),
        };
        ids.iter().map(describe).collect()
    }
}

impl ClassicGroup {
    fn describe(&self) -> DescribedGroup {
        // What members said is shown for the protocol that is in use.
        let protocol = self.protocol_name.as_ref().filter(|_| self.state == ClassicGroupState::Stable);
        let members = self.members().map(|member| {
            DescribedGroupMember::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.instance_id.clone())
                .with_client_id(member.client_id.clone())
                .with_client_host(member.client_host.clone())
                .with_member_metadata(member.metadata(protocol))
                .with_member_assignment(member.assignment.clone())
        });
        DescribedGroup::default()
            .with_group_id(GroupId(self.group_id.clone()))
            .with_group_state(StrBytes::from_static_str(self.state_name()))
            .with_protocol_type(self.protocol_type.clone().unwrap_or_default())
            .with_protocol_data(protocol.cloned().unwrap_or_default())
            .with_members(members.collect())
    }
}

fn not_found(version: i16, id: &GroupId, message: String) -> DescribedGroup {
    let group = DescribedGroup::default()
        .with_group_id(id.clone())
        .with_group_state(StrBytes::from_static_str("Dead"));
    if version < FIRST_VERSION_OF_NOT_FOUND {
        return group;
    }
    group.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(told(message)))
}
