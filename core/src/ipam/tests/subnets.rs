//! What may be given of a subnet, and why not.

use super::*;

#[test]
fn a_subnet_gives_all_that_may_be_claimed_of_it_and_nothing_else() {
    for (net, given) in [
        ("10.32.0.0/16", "10.32.0.1/16"),
        ("10.32.4.0/29", "10.32.4.1/29"),
        ("10.32.4.4/30", "10.32.4.5/30"),
        ("10.32.4.8/31", "10.32.4.8/31"),
        ("10.32.4.13/32", "10.32.4.13/32"),
    ] {
        let mut cluster = Cluster::new(1, "10.32.0.0/16");
        let subnet: IpNet = net.parse().unwrap();
        let first = cluster
            .command(0, Command::Allocate { id: "a".parse().unwrap(), subnet: Some(subnet) });
        assert_eq!(address(cluster.answer(0, first)).to_string(), given);
        cluster.command(0, release("a"));
        let claimed = cluster.command(0, claim("a", given));
        assert_eq!(address(cluster.answer(0, claimed)).to_string(), given);
        let edges = [subnet.network(), subnet.broadcast()]
            .map(|at| IpNet::new(at, subnet.prefix_len()).unwrap());
        for edge in edges.iter().filter(|_| subnet.prefix_len() < 31) {
            let refused = cluster.command(0, claim("b", &edge.to_string()));
            let why = CommandError::Edge { address: edge.addr(), subnet };
            assert_eq!(cluster.answer(0, refused), Some(&Err(why)));
        }
    }
    // To all others in the mesh these are no container's, whatever their own prefix says.
    let mut cluster = Cluster::new(1, "10.32.0.0/16");
    let whole: IpNet = "10.32.0.0/16".parse().unwrap();
    for edge in ["10.32.0.0/31", "10.32.255.255/32"] {
        let refused = cluster.command(0, claim("a", edge));
        let address = edge.parse::<IpNet>().unwrap().addr();
        let why = CommandError::Edge { address, subnet: whole };
        assert_eq!(cluster.answer(0, refused), Some(&Err(why)));
    }
    let id = "a".parse().unwrap();
    let half = Command::Allocate { id, subnet: Some("10.32.0.0/31".parse().unwrap()) };
    let half = cluster.command(0, half);
    assert_eq!(address(cluster.answer(0, half)).to_string(), "10.32.0.1/31");
}

#[test]
fn who_asks_for_any_of_a_subnet_is_refused_for_the_same_reason_as_who_claims_one_of_it() {
    let mut cluster = Cluster::new(1, "10.32.0.0/16");
    for (asked, way_out) in [
        ("10.32.0.0/32", "use one between them"),
        ("10.32.255.255/32", "use one between them"),
        ("10.32.5.6/8", "use a prefix length of 16 to 32"),
        ("10.32.0.0/15", "use a prefix length of 16 to 32"),
    ] {
        let (id, subnet) = ("a".parse().unwrap(), Some(asked.parse().unwrap()));
        let any = cluster.command(0, Command::Allocate { id, subnet });
        let this = cluster.command(0, claim("a", asked));
        let Some(Err(why)) = cluster.answer(0, this) else { panic!("{asked} is given") };
        assert!(why.to_string().ends_with(way_out), "{why}");
        assert_eq!(cluster.answer(0, any), Some(&Err(why.clone())));
    }
    let (id, subnet) = ("a".parse().unwrap(), Some("10.0.0.0/8".parse().unwrap()));
    let around = cluster.command(0, Command::Allocate { id, subnet });
    let Some(Err(why)) = cluster.answer(0, around) else { panic!("all of 10.0.0.0/8") };
    assert!(why.to_string().ends_with("use a subnet inside 10.32.0.0/16"), "{why}");
}

#[test]
fn a_given_address_has_a_prefix_no_shorter_than_that_of_the_universe() {
    let mut cluster = Cluster::new(1, "10.32.0.0/16");
    for prefix in [0, 1, 8, 15] {
        let asked: IpNet = std::format!("10.32.5.6/{prefix}").parse().unwrap();
        let request = cluster.command(0, claim("a", &asked.to_string()));
        let block = "10.32.0.0/16".parse().unwrap();
        let refused = CommandError::TooWide { address: asked, block };
        let words = refused.to_string();
        assert!(words.ends_with("use a prefix length of 16 to 32"), "{words}");
        assert_eq!(cluster.answer(0, request), Some(&Err(refused)));
        assert_eq!(cluster.hosts[0].ipam.held().count(), 0);
    }
    for (id, asked) in [("a", "10.32.5.6/16"), ("b", "10.32.5.7/24"), ("c", "10.32.5.8/32")] {
        let request = cluster.command(0, claim(id, asked));
        assert_eq!(address(cluster.answer(0, request)).to_string(), asked);
    }
}
