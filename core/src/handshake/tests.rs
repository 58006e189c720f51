use super::machine::stretch;
use super::*;
use crate::config::{NetworkSecret, Versions};
use crate::id::Identity;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use std::vec;

const SECRET: NetworkSecret = NetworkSecret::Password([5; 32]);
const OTHER: NetworkSecret = NetworkSecret::Password([6; 32]);
const KEY: NetworkSecret = NetworkSecret::Key([7; 32]);
const OTHER_KEY: NetworkSecret = NetworkSecret::Key([8; 32]);

#[test]
fn both_sides_learn_who_the_other_is_with_and_without_a_secret() {
    for secret in [None, Some(&SECRET)] {
        let (mut dialer, mut listener) = channels(secret);
        let sealed = dialer.seal(b"attack at dawn").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"attack"));
        assert_eq!(said(&mut listener, &sealed), [b"attack at dawn"]);
        let sealed = listener.seal(b"").unwrap();
        assert_eq!(said(&mut dialer, &sealed), [b""]);
    }
}

#[test]
fn a_handshake_may_be_cut_anywhere_and_what_follows_it_is_kept() {
    let (dialer, m1) = dial(1, Some(&SECRET));
    let (listener, m2) = more(each_byte(listen(2, Some(&SECRET)), &m1));
    let (m3, mut channel, hello) = done(each_byte(dialer, &m2));
    assert_eq!(hello, hello_of(2));
    let sealed = channel.seal(b"at once").unwrap();
    let (_, mut channel, hello) = done(listener.receive(&[m3, sealed].concat()));
    assert_eq!(hello, hello_of(1));
    assert_eq!(said(&mut channel, &[]), [b"at once"]);
}

#[test]
fn the_same_seeds_lead_to_the_same_bytes() {
    let run = || {
        let (dialer, m1) = dial(1, Some(&SECRET));
        let (_, m2) = more(listen(2, Some(&SECRET)).receive(&m1));
        let (m3, ..) = done(dialer.receive(&m2));
        [m1, m2, m3].concat()
    };
    assert_eq!(run(), run());
}

#[test]
fn the_messages_of_a_handshake_are_these_bytes() {
    let hello_len = crate::codec::encode(&hello_of(1)).len();
    let mut prints = Vec::new();
    for (secret, flags, element_len) in [(None, 0, 0), (Some(&SECRET), 1, 32), (Some(&KEY), 2, 0)] {
        let (dialer, m1) = dial(1, secret);
        let (listener, m2) = more(listen(2, secret).receive(&m1));
        let (m3, ..) = done(dialer.receive(&m2));
        done(listener.receive(&m3));
        let [e, s, tag] = [32, 32 + 16, 16];
        let header = |len: usize| [0, u8::try_from(len).unwrap(), 1];
        // Where a key is to be mixed in, Noise seals the empty payload of the first message too.
        let len = 8 + element_len + e + if flags == 0 { 0 } else { tag };
        assert_eq!(m1.len(), 3 + len);
        assert_eq!(m1[..11], [&header(len)[..], b"weft1", &[1, 1, flags]].concat());
        let len = 2 + element_len + e + s + 2 + hello_len + tag;
        assert_eq!(m2.len(), 3 + len);
        assert_eq!(m2[2..5], [1, 1, flags]);
        assert_eq!(m3.len(), 3 + s + hello_len + tag);
        let digest = Sha256::digest([m1, m2, m3].concat());
        prints.push(<[u8; 8]>::try_from(&digest[..8]).unwrap());
    }
    assert_eq!(prints, HANDSHAKES);
}

#[test]
fn a_greeting_of_another_round_is_these_bytes() {
    let (dialer, m1) = dial_with(1, &[&SECRET, &KEY]);
    // It has another one.
    assert_eq!(m1[10], 1 | 8);
    let (listener, m2) = more(listen_with(2, &[&OTHER, &SECRET]).receive(&m1));
    assert_eq!(m2[..5], [m2[0], m2[1], 1, 1, 1 | 8]);
    let (dialer, again) = more(dialer.receive(&m2));
    // The listener's second one is asked for, in a frame of its own type.
    assert_eq!((again[2], again[10]), (4, 1 | 4 | 8));
    let (_, m2) = more(listener.receive(&again));
    assert_eq!(m2[4], 1);
    assert!(is_done(dialer.receive(&m2)));
}

#[test]
fn both_sides_learn_that_their_passwords_differ() {
    let (dialer, m1) = dial(1, Some(&SECRET));
    let (listener, m2) = more(listen(2, Some(&OTHER)).receive(&m1));
    let (fault, refusal) = fault(dialer.receive(&m2));
    assert_eq!(fault, HandshakeFault::WrongPassword);
    assert_eq!(refusal, [0, 3, 2, 1, 1, 1]);
    assert_eq!(self::fault(listener.receive(&refusal)), (fault, vec![]));
}

#[test]
fn both_sides_learn_which_of_them_has_no_password() {
    for (one, other) in [(None, Some(&SECRET)), (None, Some(&KEY)), (Some(&SECRET), Some(&KEY))] {
        for (dials, listens) in [(one, other), (other, one)] {
            let kinds = |ours: Option<&NetworkSecret>, theirs: Option<&NetworkSecret>| {
                let kind = NetworkSecret::kind;
                HandshakeFault::Kinds { ours: ours.map(kind), theirs: theirs.map(kind) }
            };
            let (dialer, m1) = dial(1, dials);
            let (here, refusal) = fault(listen(2, listens).receive(&m1));
            assert_eq!(here, kinds(listens, dials));
            assert_eq!(fault(dialer.receive(&refusal)), (kinds(dials, listens), vec![]));
        }
    }
}

#[test]
fn a_key_is_proven_without_an_element_that_a_guess_could_be_made_for() {
    let (dialer, m1) = dial(1, Some(&KEY));
    let (_, with_password) = dial(1, Some(&SECRET));
    assert_eq!(m1.len() + 32, with_password.len());
    let (listener, m2) = more(listen(2, Some(&KEY)).receive(&m1));
    let (m3, channel, _) = done(dialer.receive(&m2));
    assert_eq!(channel.secret(), Some(&KEY));
    assert_eq!(done(listener.receive(&m3)).1.secret(), Some(&KEY));

    let (dialer, m1) = dial(1, Some(&KEY));
    let (listener, m2) = more(listen(2, Some(&OTHER_KEY)).receive(&m1));
    let (here, refusal) = fault(dialer.receive(&m2));
    assert_eq!(here, HandshakeFault::WrongKey);
    assert_eq!(fault(listener.receive(&refusal)), (here, vec![]));
}

#[test]
fn a_password_of_the_bytes_of_a_key_is_not_that_key() {
    let (dialer, m1) = dial(1, Some(&NetworkSecret::Password([7; 32])));
    let (_, refusal) = fault(listen(2, Some(&KEY)).receive(&m1));
    assert!(matches!(fault(dialer.receive(&refusal)).0, HandshakeFault::Kinds { .. }));
}

#[test]
fn two_peers_find_the_best_secret_that_both_have_whoever_dials() {
    let all = [SECRET, OTHER, KEY, OTHER_KEY];
    let mut lists: Vec<Vec<&NetworkSecret>> = all.iter().map(|one| vec![one]).collect();
    for one in &all {
        lists.extend(all.iter().filter(|other| *other != one).map(|other| vec![one, other]));
    }
    for ours in &lists {
        for theirs in &lists {
            let best = ours.iter().find(|secret| theirs.contains(secret));
            let proven = meet(ours, theirs);
            assert_eq!(proven.as_ref(), best.copied(), "{ours:?} and {theirs:?}");
        }
    }
}

#[test]
fn a_stream_has_no_more_than_four_rounds() {
    let ([one, two], [three, four]) =
        ([&SECRET, &OTHER], [3, 4].map(|n| NetworkSecret::Password([n; 32])));
    let (mut dialer, mut bytes) = dial_with(1, &[one, two]);
    let mut listener = listen_with(2, &[&three, &four]);
    for round in 1..=4 {
        let (waiting, reply) = more(listener.receive(&bytes));
        listener = waiting;
        let received = dialer.receive(&reply);
        if round == 4 {
            assert_eq!(fault(received).0, HandshakeFault::WrongPassword);
            break;
        }
        (dialer, bytes) = more(received);
    }
    // One who does not give up is given up.
    let (_, mut again) = dial(1, Some(&OTHER));
    again[2] = 4;
    let out_of_turn = HandshakeFault::Malformed("a message out of turn");
    assert_eq!(fault(listener.receive(&again)).0, out_of_turn);
}

#[test]
fn fresh_keys_come_about_while_messages_go_both_ways_and_none_is_lost() {
    for secret in [None, Some(&SECRET), Some(&KEY)] {
        let (mut dialer, mut listener) = channels(secret);
        let (mut there, mut back): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
        let mut sent = 0u8;
        let (mut heard_there, mut heard_back) = (Vec::new(), Vec::new());
        there.extend(dialer.rekey().unwrap());
        // The other side wants the same at the same time, and so it happens twice.
        back.extend(listener.rekey().unwrap());
        while dialer.changes() < 2 || listener.changes() < 2 || sent < 40 {
            there.extend(dialer.seal(&[sent]).unwrap());
            back.extend(listener.seal(&[sent]).unwrap());
            sent += 1;
            // Each round takes half of what is under way.
            let half: Vec<u8> = there.drain(..there.len().div_ceil(2)).collect();
            let Received { messages, send } = listener.receive(&half).unwrap();
            heard_there.extend(messages);
            back.extend(send);
            let half: Vec<u8> = back.drain(..back.len().div_ceil(2)).collect();
            let Received { messages, send } = dialer.receive(&half).unwrap();
            heard_back.extend(messages);
            there.extend(send);
        }
        heard_there.extend(listener.receive(&there).unwrap().messages);
        heard_back.extend(dialer.receive(&back).unwrap().messages);
        let all: Vec<Vec<u8>> = (0..sent).map(|n| vec![n]).collect();
        assert_eq!((heard_there, heard_back), (all.clone(), all));
        assert_eq!((dialer.changes(), listener.changes()), (2, 2));
    }
}

#[test]
fn a_link_changes_over_to_a_secret_that_both_ends_come_to_have() {
    let (mut dialer, mut listener) = channels(Some(&SECRET));
    dialer.set_secrets(&[KEY, SECRET]);
    settle(&mut dialer, &mut listener);
    // The other end does not have it yet.
    assert_eq!([dialer.secret(), listener.secret()], [Some(&SECRET); 2]);
    listener.set_secrets(&[KEY, SECRET]);
    settle(&mut dialer, &mut listener);
    assert_eq!([dialer.secret(), listener.secret()], [Some(&KEY); 2]);
    assert_eq!((dialer.changes(), listener.changes()), (2, 2));
}

#[test]
fn worn_keys_are_changed_and_used_up_ones_seal_nothing_more() {
    let (mut dialer, mut listener) = channels(Some(&SECRET));
    assert!(!dialer.is_worn() && !listener.is_worn());
    dialer.wear(1 << 34);
    listener.wear(1 << 34);
    assert!(dialer.is_worn() && listener.is_worn());
    settle(&mut dialer, &mut listener);
    assert!(!dialer.is_worn() && !listener.is_worn());
    assert_eq!(said(&mut listener, &dialer.seal(b"fresh").unwrap()), [b"fresh"]);

    let limit = 1 << 36;
    dialer.wear(limit - 1);
    let last = dialer.seal(b"last").unwrap();
    assert_eq!(dialer.seal(b"more"), Err(ChannelFault::UsedUp));
    assert_eq!(dialer.rekey(), Err(ChannelFault::UsedUp));
    listener.wear(limit);
    assert_eq!(listener.receive(&last), Err(ChannelFault::UsedUp));
}

#[test]
fn what_was_sealed_under_the_keys_before_does_not_open_under_the_fresh_ones() {
    let (mut dialer, mut listener) = channels(Some(&SECRET));
    let old = dialer.seal(b"old").unwrap();
    assert_eq!(said(&mut listener, &old), [b"old"]);
    settle(&mut dialer, &mut listener);
    assert_eq!(listener.receive(&old), Err(ChannelFault::NotAuthentic));
}

#[test]
fn records_of_a_change_of_keys_out_of_turn_end_a_channel() {
    let turn = |sender: fn(Channel, Channel) -> (Channel, Channel), kind: u8| {
        let (dialer, listener) = channels(Some(&SECRET));
        let (mut sender, mut receiver) = sender(dialer, listener);
        let record = sender.seal_as(kind, &[]);
        receiver.receive(&record).is_err()
    };
    let (as_dialer, as_listener) = (|d, l| (d, l), |d, l| (l, d));
    // A switch that nothing led to, from either side; a question of the side that may act itself;
    // kinds that there are not.
    assert!(turn(as_dialer, 2) && turn(as_listener, 2));
    assert!(turn(as_dialer, 3) && !turn(as_listener, 3));
    assert!(turn(as_dialer, 4) && turn(as_listener, 255));
    // A handshake that the side begins which was dialed.
    assert!(turn(as_listener, 1));
}

#[test]
fn both_sides_learn_that_they_have_no_version_in_common() {
    for (ours, theirs) in [((2, 7), (1, 1)), ((1, 2), (3, 255))] {
        let (dialer, m1) = dial_speaking(speaking(ours), 1, &[]);
        let (here, refusal) = fault(listen_speaking(speaking(theirs), 2, &[]).receive(&m1));
        assert_eq!(here, HandshakeFault::Version(ours.0, ours.1, theirs.0, theirs.1));
        let told = HandshakeFault::Version(theirs.0, theirs.1, ours.0, ours.1);
        assert_eq!(fault(dialer.receive(&refusal)), (told, vec![]));
    }
}

#[test]
fn both_sides_speak_the_highest_version_that_both_know() {
    for (ours, theirs, common) in
        [((1, 1), (1, 1), 1), ((1, 2), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 2), (1, 255), 2)]
    {
        for secret in [None, Some(&SECRET)] {
            let (dialer, m1) = dial_speaking(speaking(ours), 1, secret.as_slice());
            let (listener, m2) =
                more(listen_speaking(speaking(theirs), 2, secret.as_slice()).receive(&m1));
            let (m3, here, _) = done(dialer.receive(&m2));
            let (_, there, _) = done(listener.receive(&m3));
            assert_eq!((here.version(), there.version()), (common, common));
        }
    }
}

#[test]
fn another_round_and_fresh_keys_are_of_the_newest_version_of_both_too() {
    let (dialer, m1) = dial_speaking(speaking((1, 3)), 1, &[&OTHER, &SECRET]);
    let (listener, m2) = more(listen_speaking(speaking((2, 4)), 2, &[&SECRET]).receive(&m1));
    let (dialer, again) = more(dialer.receive(&m2));
    let (listener, m2) = more(listener.receive(&again));
    assert_eq!((&again[8..10], m2[3]), (&[1, 3][..], 3));
    let (m3, mut here, _) = done(dialer.receive(&m2));
    let (_, mut there, _) = done(listener.receive(&m3));
    settle(&mut here, &mut there);
    assert_eq!((here.changes(), there.changes()), (1, 1));
    assert_eq!((here.version(), there.version()), (3, 3));
}

#[test]
fn what_has_come_of_a_handshake_for_fresh_keys_counts_as_unread() {
    let (_, mut listener) = channels(None);
    let (mut dialer, _) = channels(None);
    let part = dialer.seal_as(1, &[0, 42, 1, 9, 9]);
    listener.receive(&part).unwrap();
    assert_eq!(listener.unread(), 5);
}

#[test]
fn whoever_is_on_the_way_cannot_have_two_peers_speak_an_older_version() {
    let all = speaking((1, 3));
    for secret in [None, Some(&SECRET)] {
        // It lowers what the dialer offers: the listener finds out, or the dialer does…
        for (oldest, newest) in [(1, 1), (1, 2), (2, 3)] {
            let (dialer, mut m1) = dial_speaking(all, 1, secret.as_slice());
            (m1[8], m1[9]) = (oldest, newest);
            if let Ok((_, Step::More { send })) =
                listen_speaking(all, 2, secret.as_slice()).receive(&m1)
            {
                assert!(!is_done(dialer.receive(&send)), "{oldest} to {newest}");
            }
        }
        // …or what the listener chose.
        for version in [0, 1, 2, 4] {
            let (dialer, m1) = dial_speaking(all, 1, secret.as_slice());
            let (_, mut m2) = more(listen_speaking(all, 2, secret.as_slice()).receive(&m1));
            m2[3] = version;
            assert!(!is_done(dialer.receive(&m2)), "{version}");
        }
    }
}

#[test]
fn a_peer_that_dials_itself_learns_so_at_both_ends() {
    let (dialer, m1) = dial(1, Some(&SECRET));
    let (listener, m2) = more(listen(1, Some(&SECRET)).receive(&m1));
    let (here, refusal) = fault(dialer.receive(&m2));
    assert_eq!(here, HandshakeFault::Myself);
    assert_eq!(fault(listener.receive(&refusal)).0, HandshakeFault::Myself);
}

#[test]
fn no_changed_byte_and_no_cut_leads_to_a_session() {
    for secret in [None, Some(&SECRET)] {
        let (_, m1) = dial(1, secret);
        let (_, m2) = more(listen(2, secret).receive(&m1));
        let (m3, ..) = done(dial(1, secret).0.receive(&m2));
        for bad in changed(&m1) {
            // The listener may answer, but then the dialer does not accept its answer.
            if let Ok((Some(_), Step::More { send })) = listen(2, secret).receive(&bad) {
                assert!(!is_done(dial(1, secret).0.receive(&send)), "{bad:?}");
            }
        }
        for bad in changed(&m2) {
            assert!(!is_done(dial(1, secret).0.receive(&bad)), "{bad:?}");
        }
        for bad in changed(&m3) {
            let (listener, _) = more(listen(2, secret).receive(&m1));
            assert!(!is_done(listener.receive(&bad)), "{bad:?}");
        }
    }
}

#[test]
fn ephemeral_keys_of_low_order_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    let low_order = HandshakeFault::Malformed("a key of low order");
    for key in [[0; 32], one] {
        let (_, mut m1) = dial(1, None);
        m1[11..43].copy_from_slice(&key);
        assert_eq!(fault(listen(2, None).receive(&m1)), (low_order.clone(), vec![]));

        let (dialer, m1) = dial(1, None);
        let (_, mut m2) = more(listen(2, None).receive(&m1));
        m2[5..37].copy_from_slice(&key);
        assert_eq!(fault(dialer.receive(&m2)), (low_order.clone(), vec![]));
    }
}

#[test]
fn static_keys_of_low_order_are_refused() {
    // A static key travels sealed, so ask the Diffie-Hellman that all keys go through.
    use snow::resolvers::CryptoResolver;
    let resolver = noise::Resolver(rng(1));
    let mut dh = resolver.resolve_dh(&snow::params::DHChoice::Curve25519).unwrap();
    dh.set(&[7; 32]);
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for key in [[0; 32], minus_one] {
        assert!(dh.dh(&key, &mut [0; 56]).is_err());
    }
    assert!(dh.dh(&[9; 32], &mut [0; 56]).is_ok());
}

#[test]
fn what_we_sent_ourselves_is_no_answer() {
    let (dialer, m1) = dial(1, Some(&SECRET));
    let (_, mut m2) = more(listen(2, Some(&SECRET)).receive(&m1));
    // Our own SPAKE2 element, then our own ephemeral key.
    let mut reflected = m2.clone();
    reflected[5..37].copy_from_slice(&m1[11..43]);
    assert!(matches!(fault(dialer.receive(&reflected)).0, HandshakeFault::Malformed(_)));
    m2[37..69].copy_from_slice(&m1[43..75]);
    let (dialer, _) = dial(1, Some(&SECRET));
    assert!(matches!(fault(dialer.receive(&m2)).0, HandshakeFault::Malformed(_)));
}

#[test]
fn a_hello_must_be_of_the_key_that_sent_it_and_say_nothing_odd() {
    let other_id = Hello { id: hello_of(3).id, ..hello_of(2) };
    let no_name = Hello { name: PeerName([0; 6]), ..hello_of(2) };
    let no_nickname = Hello { nickname: "".to_string(), ..hello_of(2) };
    let long = Hello { nickname: "x".repeat(64), ..hello_of(2) };
    let control = Hello { nickname: "a\nb".to_string(), ..hello_of(2) };
    let in_the_clear = Hello { seals: false, ..hello_of(2) };
    for hello in [other_id, no_name, no_nickname, long, control, in_the_clear] {
        let (dialer, m1) = dial(1, Some(&SECRET));
        let identity = Identity::from_seed([2; 32]);
        let versions = Versions::KNOWN;
        let local = Local { identity: &identity, secrets: &[SECRET], versions, hello };
        let (_, m2) = more(Handshake::respond(local, &mut rng(2)).receive(&m1));
        assert!(matches!(fault(dialer.receive(&m2)).0, HandshakeFault::Malformed(_)));
    }
}

#[test]
fn what_is_no_greeting_is_refused_without_an_answer() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[0, 9, 1, b'w', b'e', b'f', b't', b'1', 1, 1, 0, 0]]
    {
        let (fault, refusal) = fault(listen(2, None).receive(bytes));
        assert!(matches!(fault, HandshakeFault::Malformed(_)));
        assert!(refusal.is_empty());
    }
}

#[test]
fn a_password_is_stretched_to_these_bytes() {
    assert_eq!(stretch("correct horse"), NetworkSecret::Password(STRETCHED));
}

#[test]
fn a_changed_repeated_or_missing_record_ends_a_channel_for_good() {
    let sealed = || {
        let (mut dialer, listener) = channels(None);
        ([dialer.seal(b"1").unwrap(), dialer.seal(b"2").unwrap()], listener)
    };
    let ([first, second], mut listener) = sealed();
    assert_eq!(listener.receive(&second), Err(ChannelFault::NotAuthentic));
    assert_eq!(listener.receive(&first), Err(ChannelFault::NotAuthentic));
    let ([first, _], mut listener) = sealed();
    assert!(listener.receive(&first).is_ok());
    assert_eq!(listener.receive(&first), Err(ChannelFault::NotAuthentic));
    for at in 0..first.len() {
        let ([mut first, second], mut listener) = sealed();
        first[at] ^= 1;
        let all = [first, second].concat();
        assert!(!matches!(listener.receive(&all), Ok(said) if !said.messages.is_empty()));
    }
}

#[test]
fn a_message_over_the_limit_is_neither_sent_nor_taken() {
    let (mut dialer, mut listener) = channels(None);
    let longest = vec![1; Channel::MESSAGE_LEN_MAX];
    let sealed = dialer.seal(&longest).unwrap();
    assert_eq!(said(&mut listener, &sealed), [longest.as_slice()]);
    let over = [longest, vec![1]].concat();
    assert_eq!(dialer.seal(&over), Err(ChannelFault::TooLong(over.len() as u64)));
    let claim = dialer.seal_records(&[0xff; 4]).unwrap();
    assert_eq!(listener.receive(&claim), Err(ChannelFault::TooLong(u64::from(u32::MAX))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn messages_arrive_whole_and_in_order_wherever_the_stream_is_cut(
        lens in prop::collection::vec(prop_oneof![0..40usize, 16_370..16_400usize, 0..60_000usize], 1..6),
        cuts in prop::collection::vec(1..20_000usize, 1..20),
    ) {
        let (mut dialer, mut listener) = channels(None);
        let messages: Vec<Vec<u8>> =
            lens.iter().zip(0u8..).map(|(len, n)| vec![n; *len]).collect();
        let stream: Vec<u8> =
            messages.iter().flat_map(|message| dialer.seal(message).unwrap()).collect();
        let (mut left, mut arrived) = (stream.as_slice(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (now, later) = left.split_at((*cut).min(left.len()));
            arrived.extend(said(&mut listener, now));
            left = later;
            if left.is_empty() {
                break;
            }
        }
        prop_assert_eq!(arrived, messages);
    }
}

/// The head of a digest of all three messages: without a secret, with a password, with a key.
const HANDSHAKES: [[u8; 8]; 3] = [
    [197, 74, 145, 181, 175, 17, 86, 31],
    [207, 122, 229, 170, 73, 1, 233, 61],
    [93, 155, 226, 227, 160, 117, 87, 232],
];

const STRETCHED: [u8; 32] = [
    149, 131, 191, 143, 138, 90, 54, 163, 105, 38, 114, 30, 179, 208, 118, 164, 239, 221, 251, 5,
    209, 103, 93, 58, 50, 93, 158, 131, 115, 225, 65, 179,
];

type Taken = Result<(Option<Handshake>, Step), (HandshakeFault, Vec<u8>)>;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn speaking((oldest, newest): (u8, u8)) -> Versions {
    Versions::as_if(oldest, newest).unwrap()
}

fn hello_of(seed: u8) -> Hello {
    let id = Identity::from_seed([seed; 32]).id();
    Hello {
        id,
        name: id.default_name(),
        nickname: "host".to_string(),
        incarnation: Incarnation(1),
        universe: Universe::DEFAULT,
        lineage: None,
        sleeve_port: 6783,
        session: SessionIndex(seed.into()),
        session_key: [seed; 32],
        seals: true,
    }
}

fn dial(seed: u8, secret: Option<&NetworkSecret>) -> (Handshake, Vec<u8>) {
    dial_speaking(Versions::KNOWN, seed, secret.as_slice())
}

fn dial_with(seed: u8, secrets: &[&NetworkSecret]) -> (Handshake, Vec<u8>) {
    dial_speaking(Versions::KNOWN, seed, secrets)
}

fn dial_speaking(versions: Versions, seed: u8, secrets: &[&NetworkSecret]) -> (Handshake, Vec<u8>) {
    let (identity, secrets) = (Identity::from_seed([seed; 32]), owned(secrets));
    let hello = Hello { seals: !secrets.is_empty(), ..hello_of(seed) };
    let local = Local { identity: &identity, secrets: &secrets, versions, hello };
    Handshake::initiate(local, &mut rng(100))
}

fn listen(seed: u8, secret: Option<&NetworkSecret>) -> Handshake {
    listen_speaking(Versions::KNOWN, seed, secret.as_slice())
}

fn listen_with(seed: u8, secrets: &[&NetworkSecret]) -> Handshake {
    listen_speaking(Versions::KNOWN, seed, secrets)
}

fn listen_speaking(versions: Versions, seed: u8, secrets: &[&NetworkSecret]) -> Handshake {
    let (identity, secrets) = (Identity::from_seed([seed; 32]), owned(secrets));
    let hello = Hello { seals: !secrets.is_empty(), ..hello_of(seed) };
    let local = Local { identity: &identity, secrets: &secrets, versions, hello };
    Handshake::respond(local, &mut rng(200))
}

fn owned(secrets: &[&NetworkSecret]) -> Vec<NetworkSecret> {
    secrets.iter().map(|secret| (*secret).clone()).collect()
}

/// What a dialer with `ours` and a listener with `theirs` come to prove, if both find something.
fn meet(ours: &[&NetworkSecret], theirs: &[&NetworkSecret]) -> Option<NetworkSecret> {
    let (mut dialer, mut bytes) = dial_with(1, ours);
    let mut listener = listen_with(2, theirs);
    loop {
        let (waiting, reply) = match listener.receive(&bytes) {
            Ok((Some(waiting), Step::More { send })) => (waiting, send),
            Ok(other) => panic!("more was expected, not {other:?}"),
            Err((_, refusal)) => {
                assert!(dialer.receive(&refusal).is_err(), "only one side gives up");
                return None;
            }
        };
        listener = waiting;
        (dialer, bytes) = match dialer.receive(&reply) {
            Ok((Some(waiting), Step::More { send })) => (waiting, send),
            Ok((_, Step::Done { send, channel, .. })) => {
                let (_, other, _) = done(listener.receive(&send));
                assert_eq!(channel.secret(), other.secret());
                return channel.secret().cloned();
            }
            Ok(other) => panic!("more was expected, not {other:?}"),
            Err((_, refusal)) => {
                assert!(listener.receive(&refusal).is_err(), "only one side gives up");
                return None;
            }
        };
    }
}

/// The messages that `bytes` complete.
fn said(channel: &mut Channel, bytes: &[u8]) -> Vec<Vec<u8>> {
    channel.receive(bytes).unwrap().messages
}

/// Changes the keys of both ends.
fn settle(dialer: &mut Channel, listener: &mut Channel) {
    let mut bytes = dialer.rekey().unwrap();
    while !bytes.is_empty() {
        let back = listener.receive(&bytes).unwrap().send;
        bytes = dialer.receive(&back).unwrap().send;
    }
}

fn channels(secret: Option<&NetworkSecret>) -> (Channel, Channel) {
    let (dialer, m1) = dial(1, secret);
    let hello = |seed| Hello { seals: secret.is_some(), ..hello_of(seed) };
    let (listener, m2) = more(listen(2, secret).receive(&m1));
    let (m3, dialer, theirs) = done(dialer.receive(&m2));
    assert_eq!(theirs, hello(2));
    let (rest, listener, theirs) = done(listener.receive(&m3));
    assert_eq!((rest, theirs), (vec![], hello(1)));
    (dialer, listener)
}

/// `message` cut at each length, and with each byte changed in its lowest and highest bit.
fn changed(message: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..message.len()).flat_map(|at| {
        let flip = |bits| {
            let mut bad = message.to_vec();
            bad[at] ^= bits;
            bad
        };
        [message[..at].to_vec(), flip(0x01), flip(0x80)]
    })
}

fn each_byte(handshake: Handshake, bytes: &[u8]) -> Taken {
    let (last, bytes) = bytes.split_last().unwrap();
    let waiting = bytes.iter().fold(handshake, |handshake, byte| {
        let (waiting, send) = more(handshake.receive(&[*byte]));
        assert!(send.is_empty());
        waiting
    });
    waiting.receive(&[*last])
}

fn more(received: Taken) -> (Handshake, Vec<u8>) {
    match received.unwrap() {
        (Some(handshake), Step::More { send }) => (handshake, send),
        other => panic!("more was expected, not {other:?}"),
    }
}

fn done(received: Taken) -> (Vec<u8>, Channel, Hello) {
    match received.unwrap() {
        (None, Step::Done { send, channel, hello }) => (send, channel, hello),
        other => panic!("the end was expected, not {other:?}"),
    }
}

fn is_done(received: Taken) -> bool {
    matches!(received, Ok((_, Step::Done { .. })))
}

fn fault(received: Taken) -> (HandshakeFault, Vec<u8>) {
    received.err().unwrap()
}
