//! GreedyDual-Size with the cost of coming back: each component has a credit, the cost of
//! loading it again per byte; what has least goes first, and what it had is taken from all
//! others. README.md says what that is good for.

#![no_std]

use offhost_policy::{Answer, Event, Flags, Kind, Policy, Reader, State, World, Writer, MAX_COMPONENTS, NONE};

const LEAST_CREDIT: u16 = 1;

/// Victims in one answer, at the most.
const VICTIMS: usize = 16;
/// Each search for one looks at all components: so many looks keep an answer within the fuel of
/// an event, however many components there are. The host asks again while room is lacking.
const LOOKS: usize = 8192;

#[derive(Clone, Copy)]
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
}

impl GreedyDual {
    const fn new() -> GreedyDual {
        const NEW: Credit = Credit { until: 0, used: 0 };
        GreedyDual { world: World::new(), credits: [NEW; MAX_COMPONENTS], level: 0, uses: 0, count_loads: false }
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

    /// The evictable component with the least credit that is not among `but`, or `NONE`.
    fn least(&self, asking: u32, but: &[u32]) -> u32 {
        let mut best = NONE;
        let mut least = Credit { until: u64::MAX, used: u64::MAX };
        for id in 0..self.world.end() {
            let c = self.credits[id as usize];
            if (c.until, c.used) < (least.until, least.used)
                && id != asking
                && self.world.evictable(id)
                && !but.contains(&id)
            {
                best = id;
                least = c;
            }
        }
        best
    }

    fn need(&mut self, asking: u32, mut missing: u64, answer: &mut Answer) {
        let mut victims = [NONE; VICTIMS];
        for n in 0..VICTIMS.min(LOOKS / (self.world.end() as usize).max(1)) {
            let id = self.least(asking, &victims[..n]);
            if id == NONE || missing == 0 {
                break;
            }
            victims[n] = id;
            missing = missing.saturating_sub(self.world.evict_part(answer, id, missing, LEAST_CREDIT));
            self.level = self.level.max(self.credits[id as usize].until);
        }
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
        while let Some(name_hash) = from.u64() {
            let credit = match from.u64() {
                Some(credit) => credit,
                None => return false,
            };
            for id in 0..self.world.end() {
                if self.world.component(id).name_hash == name_hash {
                    self.credits[id as usize].until = self.level.saturating_add(credit);
                }
            }
        }
        true
    }
}

offhost_policy::about!(
    b"name=greedy-dual\nversion=1\nschema=greedy-dual/1\nreason.1=least costly to load again, and longest unused\n"
);
offhost_policy::policy!(GreedyDual = GreedyDual::new(), state);
