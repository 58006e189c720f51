//! Which peer an operator means: by label, name or id.

use super::answer::Answer;
use super::refusal::Refusal;
use axum::http::StatusCode;
use weft_core::id::{PeerId, PeerLabel};
use weft_core::status::Status;

/// The peer called `wanted` that is to be removed. Where several are called so, it is the one that cannot be
/// reached, and of those the one that owns addresses: a host that lost its state folder comes back as another
/// peer under the name that it had.
///
/// # Errors
/// That there is none, or which ones there are.
pub(super) fn gone(wanted: &str, known: &Status) -> Answer<PeerId> {
    let heard_of = known.peers.iter().map(|peer| {
        let label = PeerLabel { id: peer.id, name: peer.name, nickname: peer.nickname.clone() };
        (label, peer.reachable)
    });
    // What a peer says of itself is forgotten with a restart, and what it owns is not.
    let owners = known.ipam.owners.iter().map(|it| (PeerLabel::unheard(it.owner), false));
    let mut found: Vec<(PeerLabel, bool)> =
        heard_of.chain(owners).filter(|(label, _)| label.is_called(wanted)).collect();
    found.sort_by_key(|(label, _)| label.id);
    found.dedup_by_key(|(label, _)| label.id);
    let away: Vec<&PeerLabel> =
        found.iter().filter(|(_, reachable)| !reachable).map(|(label, _)| label).collect();
    let owns = |label: &&&PeerLabel| known.ipam.owners.iter().any(|it| it.owner == label.id);
    let owners: Vec<&PeerLabel> = away.iter().filter(owns).copied().collect();
    match (&found[..], &away[..], &owners[..]) {
        ([(peer, _)], ..) => Ok(peer.id),
        ([], ..) => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!(
                "no peer is called {wanted}: `weft status peers` and `weft status ipam` list those that are known"
            ),
        )),
        (_, [peer], _) | (_, _, [peer]) => Ok(peer.id),
        (several, ..) => {
            // Their names may be the same, too.
            let ids: Vec<String> =
                several.iter().map(|(it, _)| format!("{} is {it}", it.id.hex())).collect();
            Err(Refusal::bad(format!(
                "{} peers are called {wanted}: use the id of one, {}",
                several.len(),
                ids.join(", ")
            )))
        }
    }
}
