//! The shipped checklists, and what is refused in them.

use super::*;
use std::collections::BTreeSet;

fn both() -> [Checklist; 2] {
    [Checklist::claim().expect("CLAIM"), Checklist::tripod().expect("TRIPOD+AI")]
}

#[test]
fn every_item_is_there_once_and_points_to_a_section_that_a_report_can_have() {
    for (list, (items, rows)) in both().iter().zip([(44, 44), (27, 52)]) {
        let ids: BTreeSet<&str> = list.items.iter().map(|item| item.id.as_str()).collect();
        let mains: BTreeSet<&str> = list.items.iter().map(Item::main).collect();
        assert_eq!((list.items.len(), ids.len(), mains.len()), (rows, rows, items), "{}", list.name);
        for item in &list.items {
            assert!(item.id.starts_with(&list.name), "{}", item.id);
            match &item.answer {
                Answerer::Section(anchor) => assert!(ANCHORS.contains(&anchor.as_str()), "{}", item.id),
                Answerer::Author(author) => {
                    assert!(*author && item.how.starts_with("Not reported: "), "{}", item.id)
                }
            }
        }
    }
}

fn holding(sections: impl IntoIterator<Item = &'static str>) -> Facts {
    let mut facts = Facts::of_sections(sections);
    FACTS.iter().for_each(|fact| facts.say(fact, Some(format!("<{fact}>"))));
    facts
}

#[test]
fn a_missing_section_turns_its_items_into_not_reported() {
    let all = holding(ANCHORS);
    let without = holding(ANCHORS.into_iter().filter(|anchor| *anchor != "performance"));
    for list in both() {
        let mut turned = 0;
        for item in &list.items {
            match (item.answered(&all), item.answered(&without)) {
                (Answer::Answered { anchor, .. }, Answer::NotReported { why }) => {
                    assert!(anchor == "performance" && why.starts_with("Not reported"), "{why}");
                    turned += 1;
                }
                (full, fewer) => assert_eq!(full, fewer, "{}", item.id),
            }
        }
        assert!(turned > 3, "{}: {turned}", list.name);
        let (full, fewer, none) = (list.count(&all), list.count(&without), list.count(&Facts::default()));
        assert!(full.answered > fewer.answered && full.answered + full.in_part < full.of, "{full}, {fewer}");
        assert_eq!((none.answered, none.in_part, none.of), (0, 0, full.of));
    }
    let count = Checklist::claim().expect("CLAIM").count(&holding(["preprocessing", "partition"]));
    assert_eq!(count.to_string(), "answered 2 of 44, and 1 more in part");
}

#[test]
fn an_answer_quotes_what_the_report_holds_and_is_none_without_it() {
    let list = Checklist::claim().expect("CLAIM");
    let item = list.items.iter().find(|item| item.id == "CLAIM 32").expect("internal testing");
    let mut facts = Facts::of_sections(["performance"]);
    let expected = Answer::NotReported { why: "Not reported: some run has no test subset.".to_owned() };
    assert_eq!(item.answered(&facts), expected);
    facts.say("test", Some("fcn: 7 test slices of 2 scans".to_owned()));
    let Answer::Answered { how, .. } = item.answered(&facts) else { panic!("{:?}", item.answered(&facts)) };
    assert!(how.contains("fcn: 7 test slices of 2 scans") && !how.contains('{'), "{how}");
}

#[test]
fn an_item_with_sub_items_is_answered_when_all_of_these_are() {
    let mut list = Checklist::tripod().expect("TRIPOD+AI");
    list.items.retain(|item| item.main() == "TRIPOD+AI 9");
    let ids: Vec<&str> = list.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["TRIPOD+AI 9a", "TRIPOD+AI 9b", "TRIPOD+AI 9c"]);
    let facts = holding(["preprocessing"]);
    assert_eq!(list.count(&facts), Count { answered: 0, in_part: 1, of: 1 });
    list.items.retain(|item| item.left.is_none());
    assert_eq!(list.count(&facts), Count { answered: 1, in_part: 0, of: 1 });
}

#[test]
fn slips_of_the_hand_are_errors() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/reporting-checklists.json"));
    for (from, to, says) in [
        (r#""id": "CLAIM 2","#, r#""id": "CLAIM 1","#, "CLAIM 1 does not follow upon item 1"),
        (r#""id": "TRIPOD+AI 3b","#, r#""id": "TRIPOD+AI 3c","#, "TRIPOD+AI 3c does not follow upon item 3a"),
        (r#""id": "CLAIM 44","#, r#""id": "44","#, "does not begin with CLAIM"),
        (r#"{"section": "failures"}"#, r#"{"section": "failure"}"#, "no report has a section \"failure\""),
        (r#"{"author": true}"#, r#"{"author": false}"#, "author: expected true"),
        (r#"{"author": true}"#, r#"{"editor": true}"#, "unknown variant `editor`"),
        (r#""asks": "Prospective or"#, r#""ask": "Prospective or"#, "unknown field `ask`"),
        ("({heat})", "({heet})", "no report holds a fact \"heet\""),
        (r#""asks": "Prospective or retrospective""#, r#""asks": """#, "asks is empty"),
    ] {
        let wrong = text.replacen(from, to, 1);
        assert_ne!(wrong, text, "{from} is not in the file");
        let error = Checklists::parse(&wrong).err().map(|error| format!("{error:#}"));
        assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{says}: {error:?}");
    }
}
