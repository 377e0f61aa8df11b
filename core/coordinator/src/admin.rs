//! ListGroups (KIP-518, KIP-848) and DeleteGroups (KIP-229).

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::GroupId;
use fluxmq_protocol::messages::list_groups_response::ListedGroup;

use crate::group::Group;
use crate::shard::GroupShard;
use crate::turn::Turn;

impl GroupShard {
    /// The groups in one of the states and of one of the types, whatever the case of the letters; an empty list does
    /// not filter, a name that is none finds nothing.
    #[must_use]
    pub fn list_groups(&self, states: &[StrBytes], types: &[StrBytes]) -> Vec<ListedGroup> {
        let has_state = |group: &Group| {
            states.is_empty()
                || states.iter().any(|state| state.trim().eq_ignore_ascii_case(group.state_name()))
        };
        let has_type = |group: &Group| {
            types.is_empty() || types.iter().any(|name| name.eq_ignore_ascii_case(group.type_name()))
        };
        let groups = self.groups.iter().filter(|(_, group)| has_state(group) && has_type(group));
        groups
            .map(|(id, group)| {
                ListedGroup::default()
                    .with_group_id(GroupId(id.clone()))
                    .with_protocol_type(group.protocol_type())
                    .with_group_state(StrBytes::from_static_str(group.state_name()))
                    .with_group_type(StrBytes::from_static_str(group.type_name()))
            })
            .collect()
    }

    /// Deletes a group that has no members, with what it has committed.
    pub fn delete_group(&mut self, turn: &mut Turn<'_>, group_id: &GroupId) -> ErrorCode {
        turn.all_in_records = true;
        match self.checked_delete_group(turn, group_id) {
            Ok(()) => ErrorCode::None,
            Err(error) => error,
        }
    }

    fn checked_delete_group(&mut self, turn: &mut Turn<'_>, group_id: &GroupId) -> Result<(), ErrorCode> {
        let group = self.groups.get(&group_id.0).ok_or(ErrorCode::GroupIdNotFound)?;
        group.validate_delete_group()?;
        let mut records = self.tombstones_of_all_offsets(group_id);
        group.create_group_tombstones(&mut records);
        self.fits_in_a_batch(&records)?;
        turn.records.append(&mut records);
        Ok(())
    }
}
