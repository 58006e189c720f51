//! The command line: Weave Net's commands, each a short conversation with the daemon.
//!
//! Exit status: 0 done, 1 it could not be done, 2 wrong usage, 3 no daemon. An error is one line on
//! stderr: `weft: <what was wrong>: <what to do>`.

pub(crate) mod common;
mod containers;
mod defaults;
mod ipam;
mod launch;
mod lifecycle;
mod names;
mod peers;
mod picture;
mod trust;
mod usage;
pub(crate) mod words;

use crate::run::RunArgs;
use clap::{CommandFactory, Parser, Subcommand};
use common::{Common, Failure, Outcome, complain};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "weft",
    version,
    about = "A virtual Ethernet for containers on any number of hosts",
    after_long_help = "Examples:\n  \
        host1# weft launch\n  \
        host2# weft launch host1\n  \
        host1# weft run --name db -- postgres\n  \
        host2# weft run -- psql -h db.weft.local",
    disable_help_subcommand = false,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Launch(Box<launch::LaunchArgs>),
    Connect(peers::ConnectArgs),
    Forget(peers::ForgetArgs),
    #[command(name = "rmpeer")]
    RmPeer(peers::RmPeerArgs),
    Ipam(ipam::IpamArgs),
    Attach(containers::AttachArgs),
    Detach(containers::DetachArgs),
    Expose(containers::ExposeArgs),
    Hide(containers::HideArgs),
    Ps(containers::PsArgs),
    DnsAdd(names::DnsAddArgs),
    DnsRemove(names::DnsRemoveArgs),
    DnsLookup(names::DnsLookupArgs),
    DnsArgs(names::DnsArgsArgs),
    Status(picture::StatusArgs),
    /// Print all that is known about this peer and its mesh, as JSON
    #[command(after_long_help = "Examples:\n  weft report\n  weft report | jq .IPAM")]
    Report,
    Prime(picture::PrimeArgs),
    /// Print the id of this peer, also before it is launched: 64 hex digits
    #[command(
        after_long_help = "Examples:\n  weft id\n  weft launch --ipalloc-init seed=$(weft id)"
    )]
    Id,
    Genkey(trust::GenkeyArgs),
    Secret(trust::SecretCommandArgs),
    Allow(trust::AllowArgs),
    Run(RunArgs),
    /// Stop the daemon; containers stay on the bridge and go on talking
    #[command(after_long_help = "Examples:\n  weft stop\n  weft stop && weft launch --resume")]
    Stop,
    Reset(lifecycle::ResetArgs),
    /// Print the version
    #[command(after_long_help = "Examples:\n  weft version")]
    Version,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
            return usage::explain(&error, &args.collect::<Vec<_>>(), &Cli::command());
        }
    };
    for dir in [&mut cli.common.state_dir, &mut cli.common.run_dir] {
        // Fails only for an empty path, which then fails where it is used, with its name.
        if let Ok(absolute) = std::path::absolute(&dir) {
            *dir = absolute;
        }
    }
    match dispatch(cli) {
        Ok(code) => code,
        Err(Failure { message, code }) => {
            complain(&message);
            ExitCode::from(code)
        }
    }
}

fn dispatch(Cli { common, command }: Cli) -> Result<ExitCode, Failure> {
    // These two need the process to themselves.
    if let Command::Launch(args) = command {
        return launch::launch(&common, *args).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Run(args) = command {
        return crate::run::run(&common, &args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::new)?;
    runtime.block_on(converse(&common, command)).map(|()| ExitCode::SUCCESS)
}

async fn converse(common: &Common, command: Command) -> Outcome {
    match command {
        Command::Connect(args) => peers::connect(common, &args).await,
        Command::Forget(args) => peers::forget(common, &args).await,
        Command::RmPeer(args) => peers::remove(common, &args).await,
        Command::Ipam(args) => ipam::ipam(common, &args).await,
        Command::Attach(args) => containers::attach(common, args).await,
        Command::Detach(args) => containers::detach(common, args).await,
        Command::Expose(args) => containers::expose(common, args).await,
        Command::Hide(args) => containers::hide(common, args).await,
        Command::Ps(args) => containers::ps(common, &args).await,
        Command::DnsAdd(args) => names::add(common, &args).await,
        Command::DnsRemove(args) => names::remove(common, &args).await,
        Command::DnsLookup(args) => names::lookup(common, &args).await,
        Command::DnsArgs(args) => names::args(common, &args).await,
        Command::Status(args) => picture::status(common, &args).await,
        Command::Report => picture::report(common).await,
        Command::Genkey(args) => trust::genkey(&args),
        Command::Secret(args) => trust::secret(common, args).await,
        Command::Allow(args) => trust::allow(common, &args).await,
        Command::Prime(args) => picture::prime(common, &args).await,
        Command::Id => picture::id(common).await,
        Command::Version => picture::version(common).await,
        Command::Stop => lifecycle::stop(common).await,
        Command::Reset(args) => lifecycle::reset(common, &args).await,
        // Taken out before.
        Command::Launch(_) | Command::Run(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_of_the_commands_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_has_an_example_that_uses_it() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.strip_prefix("Examples:\n").unwrap_or_default();
            assert!(
                examples.contains(&format!("weft {name}")),
                "`weft help {name}` has no example of it: {help:?}"
            );
        }
    }

    #[test]
    fn the_last_argument_of_attach_is_the_container_and_those_before_are_addresses() {
        let split = |line: &str| {
            let Command::Attach(args) = parse(line).unwrap().command else { panic!("not attach") };
            args.place.split().map_err(|failure| failure.code)
        };
        let (addresses, namespace) = split("weft attach net:default ip:10.32.0.9/12 web").unwrap();
        assert_eq!(addresses, ["net:default", "ip:10.32.0.9/12"]);
        assert_eq!(namespace, "web");
        assert_eq!(split("weft attach 10.32.0.9 web").unwrap().0, ["10.32.0.9"]);
        assert_eq!(split("weft attach 10.32.0 web"), Err(2), "no whole address");
        assert_eq!(split("weft attach 10.32.0.9/12"), Err(2), "no container");
        assert!(parse("weft attach").is_err());
    }

    #[test]
    fn who_is_gone_for_good_is_called_by_something() {
        for command in ["rmpeer", "ipam reclaim"] {
            for blank in ["", " ", "\t\n"] {
                let words = ["weft"].into_iter().chain(command.split(' '));
                let why = Cli::try_parse_from(words.chain(["host3", blank])).unwrap_err();
                assert_eq!(why.exit_code(), 2, "{command} {blank:?}");
                assert!(why.to_string().contains("expected a label"), "{command} {blank:?}: {why}");
            }
            assert!(parse(&format!("weft {command} host3 0a:1b:2c:3d:4e:5f")).is_ok());
        }
    }

    #[test]
    fn a_default_subnet_has_an_address_to_give_and_no_bits_below_its_prefix() {
        let launch = |subnet| parse(&format!("weft launch --ipalloc-default-subnet {subnet}"));
        for bad in ["10.33.0.0/31", "10.33.0.0/32", "10.33.0.1/16", "fd00::/127"] {
            assert!(launch(bad).is_err(), "{bad} was accepted");
        }
        for good in ["10.33.0.0/30", "10.33.0.0/16", "10.33.0.0/16,fd00::/126"] {
            assert!(launch(good).is_ok(), "{good} was refused");
        }
    }

    #[test]
    fn minus_h_gives_a_name_where_it_did_in_weave_net() {
        let Command::Expose(args) =
            parse("weft expose 10.32.0.9/12 -h a.weft.local").unwrap().command
        else {
            panic!("not expose")
        };
        assert_eq!(args.fqdn.as_deref(), Some("a.weft.local"));
        assert!(parse("weft dns-add 10.32.0.9 -h a.weft.local").is_ok());
    }

    #[test]
    fn what_follows_the_command_of_run_belongs_to_it() {
        let Command::Run(args) = parse("weft run --name db -- ls --json -l").unwrap().command
        else {
            panic!("not run")
        };
        assert_eq!(args.command, ["ls", "--json", "-l"]);
        let Command::Run(args) = parse("weft run ls --json").unwrap().command else {
            panic!("not run")
        };
        assert_eq!(args.command, ["ls", "--json"]);
    }
}
