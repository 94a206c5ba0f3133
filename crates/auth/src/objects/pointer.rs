//! Which values of a document a rule is about: JSON Pointers (RFC 6901) with two words of our own.
//!
//! ```text
//! /customerId         the member of the outermost object
//! /items/*/id         `id` of every item of a list, or of every member of an object
//! /**/customerId      `customerId` wherever it stands
//! /items/0/id         the first item of a list, or a member named `0`
//! /a~1b/c~0d          `c~d` of `a/b`
//! ```
//!
//! All pointers of a route are followed at once, as one bit each for every step that has been reached.

use crate::objects::name::same_name;

/// Where in all pointers a value is: one bit for each step that was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached(u64);

/// Steps of all pointers of one route together, with one more for each end: the bits of a [`Reached`].
pub(crate) const STEPS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A member of this name, whatever its letter case.
    Name(String),
    /// That item of a list, or a member of that name.
    Item(usize, String),
    /// Every member or item.
    Any,
    /// Any number of steps, also none.
    Deep,
    /// The pointer with this number ends here.
    End(usize),
}

/// The pointers of a route.
#[derive(Clone, Debug, Default)]
pub struct Pointers {
    steps: Vec<Step>,
    start: Reached,
    ends: u64,
    count: usize,
}

impl Pointers {
    /// Adds a pointer; the number under which it is found.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn add(&mut self, text: &str) -> Result<usize, String> {
        let wrong = |rule: &str| Err(format!("`{text}` {rule}"));
        let Some(rest) = text.strip_prefix('/') else {
            return wrong("is no pointer; one begins with /, as in /customerId or /items/*/id");
        };
        let mut steps = Vec::new();
        for step in rest.split('/') {
            steps.push(match step {
                "*" => Step::Any,
                "**" => Step::Deep,
                "" => return wrong("has an empty step"),
                step => match unescaped(step) {
                    Some(name) => match name.parse() {
                        Ok(item) if name.bytes().all(|byte| byte.is_ascii_digit()) => Step::Item(item, name),
                        Ok(_) | Err(_) => Step::Name(name),
                    },
                    None => return wrong("has a ~ that is neither ~0 nor ~1"),
                },
            });
        }
        if steps.last() == Some(&Step::Deep) {
            return wrong("ends with **, which is no value; name the member, as in /**/customerId");
        }
        if self.steps.len() + steps.len() + 1 > STEPS_MAX {
            return wrong("is one too many: the pointers of a route have too many steps together");
        }
        let at = self.count;
        self.count += 1;
        self.start.0 |= bit(self.steps.len());
        self.steps.extend(steps);
        self.ends |= bit(self.steps.len());
        self.steps.push(Step::End(at));
        self.start = self.closed(self.start);
        Ok(at)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What the document itself has reached.
    pub(crate) fn start(&self) -> Reached {
        self.start
    }

    /// What a member has reached whose object has reached `from`.
    pub(crate) fn member(&self, from: Reached, name: &str) -> Reached {
        self.step(from, |step| match step {
            Step::Name(own) | Step::Item(_, own) => same_name(own, name),
            Step::Any => true,
            Step::Deep | Step::End(_) => false,
        })
    }

    /// What an item has reached whose list has reached `from`.
    pub(crate) fn item(&self, from: Reached, at: usize) -> Reached {
        self.step(from, |step| match step {
            Step::Item(own, _) => *own == at,
            Step::Any => true,
            Step::Name(_) | Step::Deep | Step::End(_) => false,
        })
    }

    /// The pointers that end at a value that has reached `at`.
    pub(crate) fn ending(&self, at: Reached) -> impl Iterator<Item = usize> {
        bits(at.0 & self.ends).filter_map(|at| match self.steps.get(at) {
            Some(Step::End(pointer)) => Some(*pointer),
            Some(Step::Name(_) | Step::Item(..) | Step::Any | Step::Deep) | None => None,
        })
    }

    /// Whether some pointer ends at a value that has reached `at`.
    pub(crate) fn ends_at(&self, at: Reached) -> bool {
        at.0 & self.ends != 0
    }

    fn step(&self, from: Reached, fits: impl Fn(&Step) -> bool) -> Reached {
        let mut to = 0;
        for at in bits(from.0) {
            match self.steps.get(at) {
                Some(Step::Deep) => to |= bit(at),
                Some(step) if fits(step) => to |= bit(at + 1),
                Some(_) | None => {}
            }
        }
        self.closed(Reached(to))
    }

    /// With what is reached by no step at all: what follows a `**`.
    fn closed(&self, reached: Reached) -> Reached {
        let mut all = reached.0;
        // A `**` may follow another: from the first to the last, each is seen after what precedes it.
        for (at, step) in self.steps.iter().enumerate() {
            if *step == Step::Deep && all & bit(at) != 0 {
                all |= bit(at + 1);
            }
        }
        Reached(all)
    }
}

impl Reached {
    /// Whether no pointer leads to this value or below it.
    pub(crate) fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

const fn bit(at: usize) -> u64 {
    if at < STEPS_MAX { 1 << at } else { 0 }
}

fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = set.trailing_zeros();
        // The lowest bit goes; of none there is none.
        set &= set.wrapping_sub(1);
        usize::try_from(at).ok().filter(|at| *at < STEPS_MAX)
    })
}

/// RFC 6901 section 4: `~1` is a slash, `~0` a tilde.
fn unescaped(step: &str) -> Option<String> {
    let mut name = String::with_capacity(step.len());
    let mut chars = step.chars();
    while let Some(char) = chars.next() {
        name.push(match char {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Pointers;

    #[test]
    fn what_is_no_pointer_is_told() {
        let check = |text: &str, expected: Option<&str>| {
            let told = Pointers::default().add(text).err();
            assert_eq!(told.is_some(), expected.is_some(), "{text}: {told:?}");
            assert!(expected.is_none_or(|words| told.unwrap().contains(words)), "{text}");
        };
        check("/a", None);
        check("/a/*/b", None);
        check("/**/a", None);
        check("/a~1b~0", None);
        check("a", Some("is no pointer"));
        check("", Some("is no pointer"));
        check("/", Some("empty step"));
        check("/a//b", Some("empty step"));
        check("/a~2", Some("~"));
        check("/a/**", Some("ends with **"));
        check(&"/a".repeat(64), Some("too many"));
        check(&"/a".repeat(63), None);
    }

    /// The walk of one path through one pointer; steps that are numbers are items of lists.
    fn ends(pointer: &str, path: &[&str]) -> bool {
        let mut pointers = Pointers::default();
        pointers.add(pointer).unwrap();
        let end = path.iter().fold(pointers.start(), |at, step| match step.strip_prefix('#') {
            Some(item) => pointers.item(at, item.parse().unwrap()),
            None => pointers.member(at, step),
        });
        pointers.ends_at(end)
    }

    #[test]
    fn pointers_lead_where_they_say_and_nowhere_else() {
        for (pointer, path, expected) in [
            ("/a", &["a"][..], true),
            ("/a", &["A"], true),
            ("/a", &["b"], false),
            ("/a", &["a", "a"], false),
            ("/a", &[], false),
            ("/a/*/b", &["a", "#7", "b"], true),
            ("/a/*/b", &["a", "x", "b"], true),
            ("/a/*/b", &["a", "b"], false),
            ("/a/0", &["a", "#0"], true),
            ("/a/0", &["a", "0"], true),
            ("/a/0", &["a", "#1"], false),
            ("/**/a", &["a"], true),
            ("/**/a", &["x", "#3", "y", "a"], true),
            ("/**/a", &["a", "b"], false),
            ("/x/**/a", &["x", "a"], true),
            ("/x/**/a", &["x", "y", "a"], true),
            ("/x/**/a", &["a"], false),
            ("/**/**/a", &["a"], true),
            ("/**/a/a", &["a", "a", "a"], true),
            ("/a~1b", &["a/b"], true),
        ] {
            assert_eq!(ends(pointer, path), expected, "{pointer} {path:?}");
        }
    }
}
