//! Who may join: `weft genkey`, `weft secret` and `weft allow`.

use super::common::{Common, Failure, Outcome, complain, print};
use crate::api::types::AllowRequest;
use crate::secret::{self, Secret, SecretError};
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use weft_core::id::PeerId;

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Empty | SecretError::TooLong(_) => Self::usage(error),
            SecretError::File { .. } => Self::new(error),
        }
    }
}

/// The secret of the mesh, in one of three ways.
#[derive(Debug, Args)]
pub(super) struct SecretArgs {
    /// Secret that all peers of the mesh share; others see it in the list of processes, so
    /// rather use the variable or --password-file
    #[arg(long, env = "WEFT_PASSWORD", hide_env_values = true, conflicts_with_all = ["password_file", "key_file"])]
    password: Option<String>,
    /// File with the secret on its first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with a key of `weft genkey`: stronger than any password
    #[arg(long, value_name = "FILE", env = "WEFT_KEY_FILE", conflicts_with = "password_file")]
    key_file: Option<PathBuf>,
}

/// The secret that is valid beside that, in one of three ways.
#[derive(Debug, Args)]
pub(super) struct OldSecretArgs {
    /// Secret of before, for peers that do not have the new one yet
    #[arg(long, value_name = "PASSWORD", env = "WEFT_OLD_PASSWORD", hide_env_values = true, conflicts_with_all = ["old_password_file", "old_key_file"])]
    old_password: Option<String>,
    /// File with the secret of before on its first line
    #[arg(long, value_name = "FILE")]
    old_password_file: Option<PathBuf>,
    /// File with the key of before
    #[arg(long, value_name = "FILE", conflicts_with = "old_password_file")]
    old_key_file: Option<PathBuf>,
}

impl SecretArgs {
    /// What was given. The password is taken out, so that it is held no longer than needed.
    pub(super) fn take(&mut self) -> Result<Option<Secret>, Failure> {
        take(self.password.take(), self.password_file.as_deref(), self.key_file.as_deref())
    }
}

impl OldSecretArgs {
    /// As [`SecretArgs::take`].
    pub(super) fn take(&mut self) -> Result<Option<Secret>, Failure> {
        let (password, key) = (&self.old_password_file, &self.old_key_file);
        take(self.old_password.take(), password.as_deref(), key.as_deref())
    }
}

fn take(
    password: Option<String>,
    password_file: Option<&Path>,
    key_file: Option<&Path>,
) -> Result<Option<Secret>, Failure> {
    Ok(match (password, password_file, key_file) {
        (Some(text), ..) => Some(Secret::password(text)?),
        (None, Some(file), _) => Some(Secret::password_of(file)?),
        (None, None, Some(file)) => {
            let key = Secret::key_of(file)?;
            if secret::is_open_to_others(file) {
                let file = file.display();
                complain(&format!("warning: others can read {file}: chmod 600 {file}"));
            }
            Some(key)
        }
        (None, None, None) => None,
    })
}

/// Draw a key for a mesh, to be given to all its peers with --key-file
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    weft genkey /etc/weft.key\n  \
    weft genkey | ssh host2 'umask 077; cat > /etc/weft.key'\n\n\
A file that is there is not overwritten.")]
pub(super) struct GenkeyArgs {
    /// Where to write it, for its owner alone; on stdout if left out
    file: Option<PathBuf>,
}

pub(super) fn genkey(args: &GenkeyArgs) -> Outcome {
    let line = secret::draw_key()
        .map_err(|why| Failure::new(format!("cannot read /dev/urandom: {why}")))?;
    let Some(file) = &args.file else { return print(&line) };
    secret::write_key(file, &line).map_err(|why| {
        let file = file.display();
        Failure::new(if why.kind() == std::io::ErrorKind::AlreadyExists {
            format!("{file} is there already, and may be a key in use: choose another file")
        } else {
            format!("cannot write {file}: {why}; choose another file")
        })
    })
}

/// Change the secret of a mesh that runs, without losing a link
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    weft secret add --key-file /etc/weft.key\n  \
    WEFT_PASSWORD=new weft secret add\n  \
    weft secret retire\n\n\
First `weft secret add` the new one on every peer: from then on both are valid, and links change \
over as soon as both ends have it. `weft status` says how many have not. Then `weft secret retire` \
the old one on every peer. A daemon that is launched in between needs --old-password or \
--old-key-file too.")]
pub(super) struct SecretCommandArgs {
    #[command(subcommand)]
    what: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Prefer a new secret; the one in use stays valid
    Add(SecretArgs),
    /// End the old secret
    Retire {
        /// Also when links still run on it: these are cut off
        #[arg(long)]
        force: bool,
    },
}

pub(super) async fn secret(common: &Common, args: SecretCommandArgs) -> Outcome {
    let client = common.client();
    match args.what {
        SecretCommand::Add(mut given) => {
            let secret = given.take()?.ok_or_else(|| {
                Failure::usage(
                    "no secret is given: give one with WEFT_PASSWORD, --password-file or --key-file",
                )
            })?;
            client.post_json::<Value>("/secret", &secret).await?;
        }
        SecretCommand::Retire { force } => {
            let fields: &[_] = if force { &[("force", "true")] } else { &[] };
            client.form(Method::DELETE, "/secret", fields).await?;
        }
    }
    Ok(())
}

/// Have to do with these peers alone, or with all that have the secret
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    weft allow /etc/weft.peers\n  \
    weft allow 3f9a…,77c2…\n  \
    weft allow --all\n\n\
A peer's id is in its `weft status`. A file has one id on each line; what follows it, and lines that \
begin with #, are for people. The list replaces the one before, holds until the daemon ends, and \
should be the same on all peers.")]
pub(super) struct AllowArgs {
    /// Ids of peers, or files with ids; this peer itself need not be among them
    #[arg(value_name = "ID|FILE", value_delimiter = ',', required_unless_present = "all")]
    peers: Vec<String>,
    /// All that have the secret
    #[arg(long, conflicts_with = "peers")]
    all: bool,
}

pub(super) async fn allow(common: &Common, args: &AllowArgs) -> Outcome {
    let peers = if args.all { None } else { Some(listed(&args.peers)?) };
    let hex = |peers: BTreeSet<PeerId>| peers.iter().map(PeerId::hex).collect();
    let request = AllowRequest { peers: peers.map(hex) };
    common.client().post_json::<Value>("/allow", &request).await?;
    Ok(())
}

/// The peers that `words` name, each an id or a file of ids.
pub(super) fn listed(words: &[String]) -> Result<BTreeSet<PeerId>, Failure> {
    let mut peers = BTreeSet::new();
    for word in words {
        if let Ok(peer) = word.parse() {
            peers.insert(peer);
            continue;
        }
        let text = std::fs::read_to_string(word).map_err(|why| {
            Failure::new(format!(
                "'{word}' is neither an id of a peer (64 hex digits) nor a file that can be read: {why}"
            ))
        })?;
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if let Some(id) = line.split_whitespace().next().filter(|id| !id.starts_with('#')) {
                let peer = id.parse::<PeerId>();
                peers.insert(
                    peer.map_err(|why| Failure::new(format!("line {number} of {word}: {why}")))?,
                );
            }
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_list_of_peers_is_made_of_ids_and_of_files_with_comments() {
        let dir = TempDir::new();
        let [one, two, three] = [1, 2, 3].map(|n| PeerId([n; 32]));
        let file = dir.join("peers");
        let text = format!("# ours\n\n  {} host2\n{}\n", two.hex(), three.hex());
        std::fs::write(&file, text).unwrap();
        let words = [one.hex(), file.display().to_string()];
        assert_eq!(listed(&words).unwrap(), BTreeSet::from([one, two, three]));

        std::fs::write(&file, format!("{}\nhost4\n", one.hex())).unwrap();
        let why = listed(&words).unwrap_err().message;
        assert!(why.starts_with("line 2 of ") && why.contains("'host4'"), "{why}");
        let why = listed(&["host5".to_owned()]).unwrap_err().message;
        assert!(why.contains("'host5'") && why.contains("64 hex digits"), "{why}");
    }
}
