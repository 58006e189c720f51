use super::machine::stretch;
use super::*;
use crate::config::{NetworkSecret, Versions};
use crate::id::Identity;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::vec;

const SECRET: NetworkSecret = NetworkSecret([5; 32]);
const OTHER: NetworkSecret = NetworkSecret([6; 32]);

#[test]
fn both_sides_learn_who_the_other_is_with_and_without_a_secret() {
    for secret in [None, Some(&SECRET)] {
        let (mut dialer, mut listener) = channels(secret);
        let sealed = dialer.seal(b"attack at dawn").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"attack"));
        assert_eq!(listener.receive(&sealed).unwrap(), [b"attack at dawn"]);
        let sealed = listener.seal(b"").unwrap();
        assert_eq!(dialer.receive(&sealed).unwrap(), [b""]);
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
    assert_eq!(channel.receive(&[]).unwrap(), [b"at once"]);
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
    let (missing, unexpected) =
        (HandshakeFault::PasswordMissing, HandshakeFault::PasswordUnexpected);
    let (dialer, m1) = dial(1, Some(&SECRET));
    let (here, refusal) = fault(listen(2, None).receive(&m1));
    assert_eq!(here, missing);
    assert_eq!(fault(dialer.receive(&refusal)), (unexpected.clone(), vec![]));

    let (dialer, m1) = dial(1, None);
    let (here, refusal) = fault(listen(2, Some(&SECRET)).receive(&m1));
    assert_eq!(here, unexpected);
    assert_eq!(fault(dialer.receive(&refusal)), (missing, vec![]));
}

#[test]
fn both_sides_learn_that_they_have_no_version_in_common() {
    for (ours, theirs) in [((2, 7), (1, 1)), ((1, 2), (3, 255))] {
        let (dialer, m1) = dial_speaking(speaking(ours), 1, None);
        let (here, refusal) = fault(listen_speaking(speaking(theirs), 2, None).receive(&m1));
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
            let (dialer, m1) = dial_speaking(speaking(ours), 1, secret);
            let (listener, m2) = more(listen_speaking(speaking(theirs), 2, secret).receive(&m1));
            let (m3, here, _) = done(dialer.receive(&m2));
            let (_, there, _) = done(listener.receive(&m3));
            assert_eq!((here.version(), there.version()), (common, common));
        }
    }
}

#[test]
fn whoever_is_on_the_way_cannot_have_two_peers_speak_an_older_version() {
    let all = speaking((1, 3));
    for secret in [None, Some(&SECRET)] {
        // It lowers what the dialer offers: the listener finds out, or the dialer does…
        for (oldest, newest) in [(1, 1), (1, 2), (2, 3)] {
            let (dialer, mut m1) = dial_speaking(all, 1, secret);
            (m1[8], m1[9]) = (oldest, newest);
            if let Ok((_, Step::More { send })) = listen_speaking(all, 2, secret).receive(&m1) {
                assert!(!is_done(dialer.receive(&send)), "{oldest} to {newest}");
            }
        }
        // …or what the listener chose.
        for version in [0, 1, 2, 4] {
            let (dialer, m1) = dial_speaking(all, 1, secret);
            let (_, mut m2) = more(listen_speaking(all, 2, secret).receive(&m1));
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
        let local = Local { identity: &identity, secret: Some(&SECRET), versions, hello };
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
    assert_eq!(stretch("correct horse").0, STRETCHED);
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
        assert!(!matches!(listener.receive(&all), Ok(messages) if !messages.is_empty()));
    }
}

#[test]
fn a_message_over_the_limit_is_neither_sent_nor_taken() {
    let (mut dialer, mut listener) = channels(None);
    let longest = vec![1; Channel::MESSAGE_LEN_MAX];
    let sealed = dialer.seal(&longest).unwrap();
    assert_eq!(listener.receive(&sealed).unwrap(), [longest.as_slice()]);
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
            arrived.extend(listener.receive(now).unwrap());
            left = later;
            if left.is_empty() {
                break;
            }
        }
        prop_assert_eq!(arrived, messages);
    }
}

const STRETCHED: [u8; 32] = [
    149, 131, 191, 143, 138, 90, 54, 163, 105, 38, 114, 30, 179, 208, 118, 164, 239, 221, 251, 5,
    209, 103, 93, 58, 50, 93, 158, 131, 115, 225, 65, 179,
];

type Received = Result<(Option<Handshake>, Step), (HandshakeFault, Vec<u8>)>;

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
    dial_speaking(Versions::KNOWN, seed, secret)
}

fn dial_speaking(
    versions: Versions,
    seed: u8,
    secret: Option<&NetworkSecret>,
) -> (Handshake, Vec<u8>) {
    let identity = Identity::from_seed([seed; 32]);
    let hello = Hello { seals: secret.is_some(), ..hello_of(seed) };
    let local = Local { identity: &identity, secret, versions, hello };
    Handshake::initiate(local, &mut rng(100))
}

fn listen(seed: u8, secret: Option<&NetworkSecret>) -> Handshake {
    listen_speaking(Versions::KNOWN, seed, secret)
}

fn listen_speaking(versions: Versions, seed: u8, secret: Option<&NetworkSecret>) -> Handshake {
    let identity = Identity::from_seed([seed; 32]);
    let hello = Hello { seals: secret.is_some(), ..hello_of(seed) };
    let local = Local { identity: &identity, secret, versions, hello };
    Handshake::respond(local, &mut rng(200))
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

fn each_byte(handshake: Handshake, bytes: &[u8]) -> Received {
    let (last, bytes) = bytes.split_last().unwrap();
    let waiting = bytes.iter().fold(handshake, |handshake, byte| {
        let (waiting, send) = more(handshake.receive(&[*byte]));
        assert!(send.is_empty());
        waiting
    });
    waiting.receive(&[*last])
}

fn more(received: Received) -> (Handshake, Vec<u8>) {
    match received.unwrap() {
        (Some(handshake), Step::More { send }) => (handshake, send),
        other => panic!("more was expected, not {other:?}"),
    }
}

fn done(received: Received) -> (Vec<u8>, Channel, Hello) {
    match received.unwrap() {
        (None, Step::Done { send, channel, hello }) => (send, channel, hello),
        other => panic!("the end was expected, not {other:?}"),
    }
}

fn is_done(received: Received) -> bool {
    matches!(received, Ok((_, Step::Done { .. })))
}

fn fault(received: Received) -> (HandshakeFault, Vec<u8>) {
    received.err().unwrap()
}
