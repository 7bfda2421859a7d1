//! Shows all that the SDK gives, for a test that knows what it has to show.
#![no_std]
use offhost_policy::{Answer, Event, Kind, Policy, Reader, State, World, Writer};

struct Probe {
    world: World,
    threshold: u64,
}

impl Policy for Probe {
    fn event(&mut self, e: &Event, answer: &mut Answer) {
        if let Some((d, code)) = e.rejection() {
            answer.retain(d.component, d.arg, 100 * code as u16 + d.reason);
        }
        let follows = self.world.follow(e);
        match e.kind {
            Kind::CONFIG => {
                self.threshold = if follows { e.config_number("threshold").unwrap_or(7) } else { 0 };
                if let Some(Ok(text)) = e.config("greeting").map(core::str::from_utf8) {
                    offhost_policy::log(text);
                }
                let greeting = e.config("greeting").unwrap_or(b"");
                let size = greeting.len() as u64;
                offhost_policy::log_numbers("the hash is {}", &[offhost_policy::name_hash(greeting)]);
                offhost_policy::log_numbers("the threshold is {}, {} and {} bytes: {}", &[self.threshold, size, u64::MAX]);
            }
            Kind::ENQUEUED => {
                let all = [
                    e.kind.0.into(), e.flags.0.into(), e.component.into(), e.parent.into(), e.index.into(), e.name_hash,
                    e.session.into(), e.request.into(), e.step.into(), e.steps.into(), e.seq, e.time_ns, e.bytes,
                    e.resident, e.free, e.budget, e.foreign, e.workspace, e.load_cost_ns, e.amount,
                ];
                for (i, v) in all.iter().enumerate() {
                    answer.retain(i as u32, *v, 0);
                }
            }
            Kind::IDLE => {
                for i in 0..200 {
                    if !answer.evict(i, i.into(), 1) && answer.room() == 0 {
                        self.threshold += 1;
                    }
                }
            }
            Kind::PRESSURE => {
                answer.retain(0, self.threshold, 0);
            }
            Kind::NEED => {
                let w = &self.world;
                for id in 0..w.end() {
                    let what = u16::from(w.evictable(id)) + 2 * u16::from(w.component(id).known);
                    answer.prefetch(id, w.frees(id, e.amount), what);
                }
                w.evict_part(answer, 0, e.amount, 9);
                answer.retain(w.end(), w.free, 0);
                answer.retain(w.end(), w.budget, 0);
                let c = w.component(1);
                answer.retain(1, c.bytes, 0);
                answer.retain(1, c.load_cost_ns, 0);
                answer.retain(1, c.name_hash, 0);
            }
            Kind(98) => {
                assert!(e.amount == 0, "no amount is known of");
            }
            Kind(99) => {
                answer.retain(0, follows.into(), 0);
            }
            _ => {}
        }
    }
}

impl State for Probe {
    fn save(&self, to: &mut Writer) {
        to.u64(self.threshold);
    }
    fn restore(&mut self, from: &mut Reader) -> bool {
        match from.u64() {
            Some(kept) => self.threshold = kept,
            None => return false,
        }
        true
    }
}

offhost_policy::policy!(Probe = Probe { world: World::new(), threshold: 0 }, state);
