//! Secrets come from a prompt, a file or standard input; never from the command line, which other users see.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use countersign_auth::secret::Secret;

use crate::entropy;

/// The longest password that is read, as long as the gate accepts.
const PASSWORD_BYTES_MAX: u64 = countersign_identity::password::PASSWORD_BYTES_MAX as u64;

/// Where a new password comes from.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(crate) struct PasswordFrom {
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Make a random password and show it once
    #[arg(long)]
    generate: bool,
}

/// A new password.
#[derive(Debug)]
pub(crate) enum NewPassword {
    /// Somebody chose it.
    Chosen(Secret),
    /// It was made here and has to be shown.
    Made(Secret),
}

impl NewPassword {
    /// The password, and the text to show if it was made here.
    pub(crate) fn into_parts(self) -> (Secret, Option<String>) {
        match self {
            Self::Chosen(secret) => (secret, None),
            Self::Made(secret) => {
                let shown = secret.expose().to_owned();
                (secret, Some(shown))
            }
        }
    }
}

impl PasswordFrom {
    /// Fetches it; asks twice at a terminal if nothing else was said.
    ///
    /// # Errors
    /// If it cannot be read, is empty or too long, or was typed differently the second time.
    pub(crate) fn fetch(&self, whose: &str) -> anyhow::Result<NewPassword> {
        if self.generate {
            return Ok(NewPassword::Made(entropy::password()?));
        }
        if let Some(file) = &self.password_file {
            return Ok(NewPassword::Chosen(from_file(file)?));
        }
        if self.password_stdin {
            return Ok(NewPassword::Chosen(first_line(&mut io::stdin().lock())?));
        }
        if !io::stdin().is_terminal() {
            bail!("no terminal to ask for a password; use --password-stdin, --password-file or --generate");
        }
        let first = Secret::new(rpassword::prompt_password(format!("New password of {whose}: "))?);
        let second = rpassword::prompt_password("Once more: ")?;
        if !first.matches(&second) {
            bail!("the two passwords differ");
        }
        not_empty(first).map(NewPassword::Chosen)
    }
}

/// The first line of a file, without its end.
///
/// # Errors
/// If it cannot be read, or is empty.
pub(crate) fn from_file(file: &Path) -> anyhow::Result<Secret> {
    let open =
        fs::File::open(file).with_context(|| format!("could not read the secret in {}", file.display()))?;
    first_line(&mut io::BufReader::new(open))
        .with_context(|| format!("could not read the secret in {}", file.display()))
}

fn first_line(from: &mut dyn BufRead) -> anyhow::Result<Secret> {
    let mut line = String::new();
    from.take(PASSWORD_BYTES_MAX + 2).read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.len() as u64 > PASSWORD_BYTES_MAX {
        bail!("longer than {PASSWORD_BYTES_MAX} bytes");
    }
    not_empty(Secret::new(text))
}

fn not_empty(secret: Secret) -> anyhow::Result<Secret> {
    if secret.expose().is_empty() {
        bail!("an empty password");
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = first_line(&mut text.as_bytes());
            match expected {
                Ok(expected) => assert_eq!(found.unwrap().expose(), expected),
                Err(expected) => assert_eq!(found.unwrap_err().to_string(), expected),
            }
        };
        check("open sesame\nmore", Ok("open sesame"));
        check("open sesame\r\n", Ok("open sesame"));
        check(" blanks stay ", Ok(" blanks stay "));
        check("", Err("an empty password"));
        check("\n", Err("an empty password"));
        check(&"x".repeat(4097), Err("longer than 4096 bytes"));
    }
}
