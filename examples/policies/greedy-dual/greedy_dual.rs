//! GreedyDual-Size with the cost of coming back: each component has a credit, the cost of
//! loading it again per byte; what has least goes first, and what it had is taken from all
//! others. README.md says what that is good for.

#![no_std]

use offhost_policy::{Answer, Event, Flags, Kind, Policy, Reader, State, World, Writer, MAX_COMPONENTS, NONE};

const LEAST_CREDIT: u16 = 1;

/// Victims in one answer, at the most. The host asks again while room is lacking.
const VICTIMS: usize = 16;
/// Places for names, twice as many as there can be.
const PLACES: usize = 2 * MAX_COMPONENTS;

#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Credit {
    /// Level at its last use, and what it was worth then, in 2^-20 ns a byte.
    until: u64,
    /// Number of its last use, to tell equals apart.
    used: u64,
}

struct GreedyDual {
    world: World,
    credits: [Credit; MAX_COMPONENTS],
    /// The credit of the last victim: taking it from everyone is the same as beginning the
    /// next ones higher.
    level: u64,
    uses: u64,
    /// Every load costs the same, so that what is small stays.
    count_loads: bool,
    /// Ids + 1 by name, an open hash table, while a blob is restored.
    by_name: [u16; PLACES],
}

impl GreedyDual {
    const fn new() -> GreedyDual {
        const NEW: Credit = Credit { until: 0, used: 0 };
        GreedyDual {
            world: World::new(),
            credits: [NEW; MAX_COMPONENTS],
            level: 0,
            uses: 0,
            count_loads: false,
            by_name: [0; PLACES],
        }
    }

    /// What a byte of a component is worth.
    fn worth(&self, e: &Event) -> u64 {
        if e.bytes == 0 {
            return 0;
        }
        if self.count_loads {
            return (1 << 60) / e.bytes;
        }
        // A changed component is copied back when it goes: that is a cost of its eviction, too.
        let copies = if e.flags.any(Flags::DIRTY) { 2 } else { 1 };
        e.load_cost_ns.min(1 << 42).saturating_mul(copies << 20) / e.bytes
    }

    fn used(&mut self, e: &Event) {
        self.uses += 1;
        let until = self.level.saturating_add(self.worth(e));
        self.credits[e.component as usize] = Credit { until, used: self.uses };
    }

    /// The evictable components with the least credit, the least first: as many as free so much,
    /// if that many fit. Each component is looked at once, since there may be thousands.
    fn least(&self, asking: u32, missing: u64, victims: &mut [u32; VICTIMS]) -> usize {
        let credit = |id: u32| self.credits[id as usize];
        let resident = |id: u32| self.world.component(id).resident;
        let (mut n, mut freed) = (0, 0);
        for id in 0..self.world.end() {
            let enough = n == VICTIMS || freed >= missing;
            if enough && (n == 0 || credit(id) >= credit(victims[n - 1])) || id == asking || !self.world.evictable(id) {
                continue;
            }
            if n == VICTIMS {
                n -= 1;
                freed -= resident(victims[n]);
            }
            let mut at = n;
            while at > 0 && credit(id) < credit(victims[at - 1]) {
                victims[at] = victims[at - 1];
                at -= 1;
            }
            victims[at] = id;
            n += 1;
            freed += resident(id);
            while freed - resident(victims[n - 1]) >= missing {
                n -= 1;
                freed -= resident(victims[n]);
            }
        }
        n
    }

    fn need(&mut self, asking: u32, mut missing: u64, answer: &mut Answer) {
        let mut victims = [NONE; VICTIMS];
        let n = self.least(asking, missing, &mut victims);
        for id in &victims[..n] {
            missing = missing.saturating_sub(self.world.evict_part(answer, *id, missing, LEAST_CREDIT));
            self.level = self.level.max(self.credits[*id as usize].until);
        }
    }

    /// Where a name is in the table, or would be. The table is never full.
    fn place(&self, name_hash: u64) -> usize {
        let mut at = (name_hash >> 32) as usize % PLACES;
        while self.by_name[at] != 0 && self.world.component(u32::from(self.by_name[at]) - 1).name_hash != name_hash {
            at = (at + 1) % PLACES;
        }
        at
    }
}

impl Policy for GreedyDual {
    fn event(&mut self, e: &Event, answer: &mut Answer) {
        if e.kind == Kind::CONFIG {
            self.count_loads = e.config("cost") == Some(b"count");
        }
        if !self.world.follow(e) {
            return;
        }
        match e.kind {
            Kind::CALL | Kind::DONE => self.used(e),
            Kind::NEED => self.need(e.component, e.amount, answer),
            _ => {}
        }
    }
}

/// What a component is worth is known by its name: ids are given anew in each run.
impl State for GreedyDual {
    fn save(&self, to: &mut Writer) {
        for id in 0..self.world.end() {
            let c = self.credits[id as usize];
            if self.world.component(id).known && c.until > self.level {
                to.u64(self.world.component(id).name_hash);
                to.u64(c.until - self.level);
            }
        }
    }

    fn restore(&mut self, from: &mut Reader) -> bool {
        self.by_name = [0; PLACES];
        for id in 0..self.world.end() {
            if self.world.component(id).known {
                let at = self.place(self.world.component(id).name_hash);
                self.by_name[at] = id as u16 + 1;
            }
        }
        while let Some(name_hash) = from.u64() {
            let credit = match from.u64() {
                Some(credit) => credit,
                None => return false,
            };
            if let Some(id) = self.by_name[self.place(name_hash)].checked_sub(1) {
                self.credits[usize::from(id)].until = self.level.saturating_add(credit);
            }
        }
        true
    }
}

offhost_policy::about!(
    b"name=greedy-dual\nversion=1\nschema=greedy-dual/1\nconfig=cost\nreason.1=least costly to load again, and longest unused\n"
);
offhost_policy::policy!(GreedyDual = GreedyDual::new(), state);
