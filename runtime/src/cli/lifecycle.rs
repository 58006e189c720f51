//! `weft stop` and `weft reset`: how it ends.

use super::{Common, Failure, Outcome, complain};
use crate::api::client::{Client, ClientError};
use crate::api::types::Surroundings;
use crate::daemon::{self, Holder, Options};
use clap::Args;
use hyper::Method;
use std::path::Path;
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::config::FoundingMode;
use weft_core::names::Name;

/// Longest wait for a daemon that was told to stop.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Time between two looks whether it is gone: its end sends nothing that could be waited for.
const LOOK_WAIT: Duration = Duration::from_millis(20);

/// Bridge of a daemon that was not asked for another one.
pub(super) const BRIDGE: &str = "weft";

/// Domain of names unless another one is asked for.
pub(super) const DOMAIN: &str = "weft.local";

/// Largest packet that containers may send unless told otherwise. Source: Weave Net's fast
/// datapath, 1376: what is left of 1460 (the smallest common cloud network) once it is sealed.
pub(super) const MTU: u32 = 1376;

/// Hand our addresses to another peer, stop, and remove all traces from this host
#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// Go on although the daemon is not running or no peer takes the addresses
    #[arg(long)]
    force: bool,
    /// Bridge to remove, when the daemon is not running to name it
    #[arg(long, value_name = "NAME", default_value = BRIDGE)]
    bridge: String,
}

pub(super) async fn stop(common: &Common) -> Outcome {
    let running = daemon::running(&common.run_dir);
    common.client().form(Method::POST, "/stop", &[]).await?;
    gone(running, &common.run_dir).await
}

pub(super) async fn reset(common: &Common, args: &ResetArgs) -> Outcome {
    let client = common.client();
    let mut options = bare_options(common, args.bridge.clone())?;
    match client.get_json::<Surroundings>("/surroundings").await {
        Ok(around) => {
            options.bridge = around.bridge;
            let running = daemon::running(&common.run_dir);
            leave(&client, args.force).await?;
            gone(running, &common.run_dir).await?;
        }
        Err(ClientError::NotRunning(_)) if args.force || !options.database().exists() => {}
        Err(ClientError::NotRunning(_)) => {
            return Err(Failure::new(
                "weft is not running here, so its addresses cannot be handed over: `weft launch` it first, or use --force to strand them",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    daemon::reset(&options).await.map_err(Failure::new)
}

/// Hands the addresses over and stops the daemon.
async fn leave(client: &Client, force: bool) -> Outcome {
    match client.form(Method::DELETE, "/peer", &[]).await {
        Ok(_) => {}
        Err(error) if force => complain(&format!("addresses were not handed over: {error}")),
        Err(error) => return Err(error.into()),
    }
    match client.form(Method::POST, "/stop", &[]).await {
        // It stops by itself after leaving.
        Ok(_) | Err(ClientError::NotRunning(_) | ClientError::Broken { .. }) => Ok(()),
        Err(error @ (ClientError::Forbidden(_) | ClientError::Refused { .. })) => Err(error.into()),
    }
}

/// Returns once `daemon`, which was told to stop, has ended.
async fn gone(daemon: Option<Holder>, run_dir: &Path) -> Outcome {
    let Some(daemon) = daemon else { return Ok(()) };
    let wait = async {
        while !daemon.is_gone() {
            tokio::time::sleep(LOOK_WAIT).await;
        }
    };
    tokio::time::timeout(STOP_MAX, wait).await.map_err(|_| {
        let pid = daemon.pid.map_or_else(String::new, |pid| format!(" {pid}"));
        Failure::new(format!(
            "weft did not stop within {STOP_MAX:?}: see {}/weft.log, or kill process{pid}",
            run_dir.display()
        ))
    })
}

/// Options that say no more than where things are.
fn bare_options(common: &Common, bridge: String) -> Result<Options, Failure> {
    Ok(Options {
        name: None,
        nickname: String::new(),
        port: 0,
        password: None,
        range: Universe::DEFAULT,
        default_subnet: None,
        founding: FoundingMode::Observer,
        targets: Vec::new(),
        resume: false,
        discovery: false,
        conns_max: 0,
        state_dir: common.state_dir.clone(),
        run_dir: common.run_dir.clone(),
        bridge,
        mtu: MTU,
        dns: false,
        dns_domain: DOMAIN.parse::<Name>().map_err(Failure::new)?,
        resolv_conf: "/etc/resolv.conf".into(),
    })
}
