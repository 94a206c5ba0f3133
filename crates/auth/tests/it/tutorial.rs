//! The tutorial's file loads after each of its steps, and the loader says what the tutorial says it does.

use std::fs;

use countersign_auth::dialect::Dialect;

use super::{common, refused};

#[test]
fn every_step_of_the_tutorial_loads_and_every_mistake_is_told() {
    let file = common::repository().join("docs/dialects.md");
    let text = fs::read_to_string(&file).unwrap();
    let mut dialect = Vec::new();
    let mut steps = 0;
    let mut now = String::new();
    let mut blocks = text.split("\n```");
    now.push_str(blocks.next().unwrap());
    for (at, block) in blocks.enumerate() {
        now.push_str("\n```");
        let (language, body) = block.split_once('\n').unwrap_or((block, ""));
        let opens = at % 2 == 0;
        match language {
            "toml" if opens => {
                take_over(&mut dialect, body);
                let text = whole(&dialect);
                if let Err(problems) = Dialect::load("parcels.toml", &text) {
                    panic!("after step {steps}: {problems:#?}\n{text}");
                }
                steps += 1;
                now.push_str(block);
            }
            "edit" if opens => {
                let (words, edits) = body.split_once('\n').unwrap();
                now.push_str("edit\n");
                now.push_str(words);
                now.push('\n');
                now.push_str(&refused::answered_for("parcels", &whole(&dialect), edits));
            }
            _ => now.push_str(block),
        }
    }
    assert!(steps > 5);
    assert!(!common::expect(&file, &text, &now), "the tutorial is out of date; see above, or UPDATE=1");
}

/// Tables of a step: new ones are added, ones of the same name replaced.
fn take_over(dialect: &mut Vec<(String, String)>, step: &str) {
    let mut name = String::new();
    let mut tables: Vec<(String, String)> = Vec::new();
    for line in step.lines() {
        if line.starts_with('[') {
            line.split(']').next().unwrap().clone_into(&mut name);
        }
        match tables.last_mut() {
            Some((own, text)) if *own == name => {
                text.push('\n');
                text.push_str(line);
            }
            Some(_) | None => tables.push((name.clone(), line.to_owned())),
        }
    }
    for (name, text) in tables {
        match dialect.iter_mut().find(|(own, _)| *own == name) {
            Some((_, old)) => *old = text,
            None => dialect.push((name, text)),
        }
    }
}

fn whole(dialect: &[(String, String)]) -> String {
    dialect.iter().fold(String::new(), |all, (_, text)| all + text + "\n")
}
