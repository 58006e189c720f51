//! `weft connect` and `weft forget`: whom to dial.

use super::common::{Common, Outcome};
use clap::Args;
use hyper::Method;

/// Dial more peers, or others
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  weft connect host2\n  weft connect --replace host2 [fd00::3]:6783"
)]
pub(super) struct ConnectArgs {
    /// Forget all peers that are not named here
    #[arg(long)]
    replace: bool,
    /// Host name or address, and the port if it is not the usual one
    #[arg(required = true, value_name = "PEER")]
    peers: Vec<String>,
}

/// Stop dialing peers; links that stand are left alone
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  weft forget host2 host3:6790")]
pub(super) struct ForgetArgs {
    /// As given to `launch` or `connect`
    #[arg(required = true, value_name = "PEER")]
    peers: Vec<String>,
}

pub(super) async fn connect(common: &Common, args: &ConnectArgs) -> Outcome {
    let mut fields = form(&args.peers);
    if args.replace {
        fields.push(("replace", "true"));
    }
    common.client().form(Method::POST, "/connect", &fields).await?;
    Ok(())
}

pub(super) async fn forget(common: &Common, args: &ForgetArgs) -> Outcome {
    common.client().form(Method::POST, "/forget", &form(&args.peers)).await?;
    Ok(())
}

fn form(peers: &[String]) -> Vec<(&str, &str)> {
    peers.iter().map(|peer| ("peer", peer.as_str())).collect()
}
