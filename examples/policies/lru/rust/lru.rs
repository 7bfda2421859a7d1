//! Least recently used, sized: when memory is needed, the component whose last use (the
//! beginning or the end of a call) lies furthest back goes first, no more of it than is
//! lacking.

#![no_std]

use offhost_policy::{Answer, Event, Flags, Kind, Policy, World, MAX_COMPONENTS};

const LEAST_RECENTLY_USED: u16 = 1;

/// Neighbours in the list of recency, as ids + 1; 0 at its ends.
#[derive(Clone, Copy)]
struct Link {
    older: u16,
    newer: u16,
    listed: bool,
}

struct Lru {
    world: World,
    links: [Link; MAX_COMPONENTS],
    oldest: u16,
    newest: u16,
}

impl Lru {
    const fn new() -> Lru {
        const UNLISTED: Link = Link { older: 0, newer: 0, listed: false };
        Lru { world: World::new(), links: [UNLISTED; MAX_COMPONENTS], oldest: 0, newest: 0 }
    }

    fn unlist(&mut self, id: u32) {
        let link = self.links[id as usize];
        if !link.listed {
            return;
        }
        match link.older {
            0 => self.oldest = link.newer,
            i => self.links[i as usize - 1].newer = link.newer,
        }
        match link.newer {
            0 => self.newest = link.older,
            i => self.links[i as usize - 1].older = link.older,
        }
        self.links[id as usize].listed = false;
    }

    fn touch(&mut self, id: u32) {
        let this = id as u16 + 1;
        if self.newest == this {
            return;
        }
        self.unlist(id);
        match self.newest {
            0 => self.oldest = this,
            i => self.links[i as usize - 1].newer = this,
        }
        self.links[id as usize] = Link { older: self.newest, newer: 0, listed: true };
        self.newest = this;
    }

    fn need(&self, asking: u32, mut missing: u64, answer: &mut Answer) {
        let mut i = self.oldest;
        while i != 0 && missing > 0 && answer.room() > 0 {
            let id = u32::from(i) - 1;
            if id != asking && self.world.evictable(id) {
                let freed = self.world.evict_part(answer, id, missing, LEAST_RECENTLY_USED);
                missing = missing.saturating_sub(freed);
            }
            i = self.links[id as usize].newer;
        }
    }
}

impl Policy for Lru {
    fn event(&mut self, e: &Event, answer: &mut Answer) {
        if !self.world.follow(e) {
            return;
        }
        match e.kind {
            Kind::COMPONENT if e.flags.any(Flags::REMOVED) => self.unlist(e.component),
            // A policy that is attached in the middle learns of what is there.
            Kind::LOADED | Kind::EVICTED => {
                if e.resident > 0 && !self.links[e.component as usize].listed {
                    self.touch(e.component);
                }
            }
            Kind::CALL | Kind::DONE => self.touch(e.component),
            Kind::NEED => self.need(e.component, e.amount, answer),
            _ => {}
        }
    }
}

offhost_policy::about!(b"name=lru-rust\nversion=1\nreason.1=least recently used\n");
offhost_policy::policy!(Lru = Lru::new());
