//! Who may commit and fetch offsets.

use super::*;

fn stale(epoch: i32) -> (i32, ErrorCode) {
    (epoch, ErrorCode::StaleMemberEpoch)
}

#[test]
fn a_member_commits_with_its_epoch_or_one_since_which_it_has_the_partition() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    let mut b = Consumer::join(&mut fixture, "b", &["foo"]);
    a.beat(&mut fixture);
    let foo = Uuid::from_u128(FOO);
    let kept = a.owned[&FOO][0];
    let given_up = (0..3).find(|index| !a.owned[&FOO].contains(index)).unwrap();
    // What it was told to give up it may still commit.
    let validator = fixture.group().validate_offset_commit("a", None, 2, false, 9).unwrap();
    assert_eq!(validator.validate(foo, given_up), Ok(()));
    a.beat(&mut fixture);
    b.beat(&mut fixture);
    assert_eq!((a.epoch, b.epoch), (3, 3));

    let group = fixture.group();
    let current = group.validate_offset_commit("a", None, 3, false, 9).unwrap();
    assert_eq!(current.validate(foo, given_up), Ok(()), "nobody looks at partitions at the present epoch");
    let older = group.validate_offset_commit("a", None, 2, false, 9).unwrap();
    assert_eq!(older.validate(foo, kept), Ok(()));
    assert_eq!(older.validate(foo, given_up), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(older.validate(Uuid::from_u128(BAR), 0), Err(ErrorCode::StaleMemberEpoch));
    let oldest = group.validate_offset_commit("a", None, 1, false, 9).unwrap();
    assert_eq!(oldest.validate(foo, kept), Err(ErrorCode::StaleMemberEpoch), "before it had it");
    let new_owner = group.validate_offset_commit("b", None, 2, false, 9).unwrap();
    assert_eq!(new_owner.validate(foo, given_up), Err(ErrorCode::StaleMemberEpoch));
}

#[test]
fn commits_of_others_are_refused() {
    let mut fixture = Fixture::new();
    Consumer::join(&mut fixture, "a", &["foo"]);
    let instance = text("instance");
    let table = [
        ("a", None, 3, false, 9, Err(ErrorCode::StaleMemberEpoch)),
        ("a", None, 2, false, 8, Err(ErrorCode::UnsupportedVersion)),
        ("a", None, 2, true, 3, Ok(())),
        ("b", None, 2, false, 9, Err(ErrorCode::UnknownMemberId)),
        ("", None, -1, false, 9, Err(ErrorCode::UnknownMemberId)),
        ("", None, -1, true, 3, Ok(())),
        ("", Some(&instance), -1, true, 3, Err(ErrorCode::UnknownMemberId)),
        ("a", None, -1, true, 3, Ok(())),
    ];
    for (member, instance, epoch, transactional, version, expected) in table {
        let validated =
            fixture.group().validate_offset_commit(member, instance, epoch, transactional, version);
        assert_eq!(validated.map(|_| ()), expected, "{member} {epoch} {transactional} {version}");
    }
    fixture.beat(&request("a", -1));
    assert!(fixture.group().validate_offset_commit("", None, -1, false, 2).is_ok());
    let of_nobody = fixture.group().validate_offset_commit("", None, 0, false, 9);
    assert_eq!(of_nobody.map(|_| ()), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn fetches_name_no_member_or_one_at_its_epoch() {
    let mut fixture = Fixture::new();
    Consumer::join(&mut fixture, "a", &["foo"]);
    let group = fixture.group();
    assert_eq!(group.validate_offset_fetch(None, -1), Ok(()));
    assert_eq!(group.validate_offset_fetch(Some(&text("a")), 2), Ok(()));
    for (epoch, code) in [stale(1), stale(3), stale(-1)] {
        assert_eq!(group.validate_offset_fetch(Some(&text("a")), epoch), Err(code));
    }
    assert_eq!(group.validate_offset_fetch(Some(&text("b")), 2), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.validate_offset_fetch(Some(&text("")), -1), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.validate_offset_fetch(None, 2), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn subscribed_topics_are_those_that_a_member_names_or_matches() {
    let mut fixture = Fixture::new();
    let regex = join("a", &["later"]).with_subscribed_topic_regex(Some(text("ba.")));
    Consumer::join_as(&mut fixture, &regex);
    let subscribed = |fixture: &Fixture, topic| fixture.group().is_subscribed_to_topic(topic);
    for (topic, expected) in [("bar", true), ("later", true), ("foo", false), ("ba.", false)] {
        assert_eq!(subscribed(&fixture, topic), expected, "{topic}");
    }
    fixture.beat(&request("a", -1));
    assert!(!subscribed(&fixture, "bar") && !subscribed(&fixture, "later"));
}
