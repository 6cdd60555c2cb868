//! Runs tasks in every order of their steps.
//!
//! Depth first: each order is replayed from the start. Where the world is as
//! before, and each task has seen what it saw before, all that follows is as
//! before, and is left out.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use registry_spec::types::{Digest, RepositoryName};

use super::super::Unit;
use super::world::{Breakage, Handle, World};

/// What a task came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Pushed(RepositoryName, Digest),
    Refused,
    Deleted(RepositoryName, Digest),
    /// How many blobs were removed.
    Collected(u64),
    Died,
}

type Running = Pin<Box<dyn Future<Output = Outcome>>>;
type Start = Box<dyn Fn(Handle) -> Running>;

/// A world, and tasks in it.
pub(super) struct Scenario {
    set_up: Box<dyn Fn(&mut World)>,
    tasks: Vec<(Start, bool)>,
    /// How often a task may be interrupted by another one, all in all.
    interruptions: usize,
}

impl Scenario {
    pub(super) fn new(set_up: impl Fn(&mut World) + 'static) -> Self {
        Self {
            set_up: Box::new(set_up),
            tasks: Vec::new(),
            interruptions: usize::MAX,
        }
    }

    /// Leaves out the orders with more changes of tasks than these, where all
    /// of them would take hours.
    pub(super) fn interrupted_at_most(mut self, times: usize) -> Self {
        self.interruptions = times;
        self
    }

    pub(super) fn task<F: Future<Output = Outcome> + 'static>(
        self,
        task: impl Fn(Handle) -> F + 'static,
    ) -> Self {
        self.with(task, false)
    }

    /// One that may end after any of its steps.
    pub(super) fn mortal_task<F: Future<Output = Outcome> + 'static>(
        self,
        task: impl Fn(Handle) -> F + 'static,
    ) -> Self {
        self.with(task, true)
    }

    fn with<F: Future<Output = Outcome> + 'static>(
        mut self,
        task: impl Fn(Handle) -> F + 'static,
        is_mortal: bool,
    ) -> Self {
        let start: Start = Box::new(move |handle| Box::pin(task(handle)));
        self.tasks.push((start, is_mortal));
        self
    }
}

/// What came out of all orders.
#[derive(Debug, Default)]
pub(super) struct Explored {
    /// In how many ends a push was acknowledged.
    pub(super) pushed: usize,
    /// In how many something was removed.
    pub(super) collected: usize,
    /// The first end in which something is not as acknowledged.
    pub(super) lost: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Step(usize),
    Die(usize),
}

struct Execution {
    world: Arc<Mutex<World>>,
    tasks: Vec<(Handle, Result<Outcome, Running>)>,
    /// The task that took the last step.
    last: usize,
    /// How often another one took the next step before it had ended.
    interruptions: usize,
}

impl Execution {
    fn new(scenario: &Scenario, breakage: Breakage) -> Self {
        let mut world = World::new();
        (scenario.set_up)(&mut world);
        let world = Arc::new(Mutex::new(world));
        let tasks = scenario
            .tasks
            .iter()
            .enumerate()
            .map(|(index, (start, _))| {
                let handle = Handle::new(&world, index + 1, breakage);
                (handle.clone(), Err(start(handle)))
            });
        let tasks: Vec<_> = tasks.collect();
        let mut execution = Self {
            world,
            tasks,
            last: 0,
            interruptions: 0,
        };
        // Up to the first step of each.
        for index in 0..execution.tasks.len() {
            execution.take(Choice::Step(index));
        }
        execution.interruptions = 0;
        execution
    }

    fn take(&mut self, choice: Choice) {
        let (Choice::Step(index) | Choice::Die(index)) = choice;
        self.interruptions += usize::from(self.interrupts(index));
        self.last = index;
        match choice {
            Choice::Die(index) => self.tasks[index].1 = Ok(Outcome::Died),
            Choice::Step(index) => {
                let task = &mut self.tasks[index].1;
                let Err(running) = task else {
                    panic!("no task to run");
                };
                let mut context = Context::from_waker(Waker::noop());
                if let Poll::Ready(outcome) = running.as_mut().poll(&mut context) {
                    *task = Ok(outcome);
                }
            }
        }
    }

    fn interrupts(&self, index: usize) -> bool {
        index != self.last && self.tasks[self.last].1.is_err()
    }

    fn choices(&self, scenario: &Scenario) -> Vec<Choice> {
        let may_interrupt = self.interruptions < scenario.interruptions;
        let running = self.tasks.iter().enumerate();
        let running = running.filter(|(_, (_, task))| task.is_err());
        running
            .filter(|(index, _)| may_interrupt || !self.interrupts(*index))
            .flat_map(|(index, _)| {
                let is_mortal = scenario.tasks[index].1;
                [Choice::Step(index)]
                    .into_iter()
                    .chain(is_mortal.then_some(Choice::Die(index)))
            })
            .collect()
    }

    fn world(&self) -> World {
        *self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, scenario: &Scenario, hasher: &RandomState) -> u64 {
        // What may follow depends on it where interruptions are counted.
        let last = (scenario.interruptions < usize::MAX).then_some(self.last);
        let tasks: Vec<(u64, Option<&Outcome>)> = self
            .tasks
            .iter()
            .map(|(handle, task)| (handle.seen(), task.as_ref().ok()))
            .collect();
        hasher.hash_one((self.world(), tasks, last))
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.tasks.iter().filter_map(|(_, task)| task.as_ref().ok())
    }

    /// What is not as somebody was told.
    fn lost(&self) -> Option<String> {
        let world = self.world();
        let mut lost = None;
        for outcome in self.outcomes() {
            let is_true = match outcome {
                Outcome::Pushed(name, manifest) => world.is_whole(name, manifest),
                Outcome::Deleted(name, manifest) => {
                    !world.is_there(Unit::Manifest(name, *manifest).into())
                }
                Outcome::Refused | Outcome::Collected(_) | Outcome::Died => true,
            };
            if !is_true {
                lost = Some(format!("{outcome:?} in {world:?}"));
            }
        }
        lost
    }
}

pub(super) fn explore(scenario: &Scenario, breakage: Breakage) -> Explored {
    let mut explored = Explored::default();
    let hasher = RandomState::new();
    // Each state, and with how few interruptions it was reached.
    let mut visited = HashMap::new();
    let mut orders: Vec<Vec<Choice>> = vec![vec![]];
    while let Some(mut order) = orders.pop() {
        let mut execution = Execution::new(scenario, breakage);
        for choice in &order {
            execution.take(*choice);
        }
        loop {
            let fewest = visited
                .entry(execution.state(scenario, &hasher))
                .or_insert(usize::MAX);
            if *fewest <= execution.interruptions {
                break;
            }
            *fewest = execution.interruptions;
            let choices = execution.choices(scenario);
            let Some((next, others)) = choices.split_first() else {
                end(&execution, &mut explored);
                break;
            };
            for other in others {
                let mut branch = order.clone();
                branch.push(*other);
                orders.push(branch);
            }
            execution.take(*next);
            order.push(*next);
        }
        if explored.lost.is_some() {
            break;
        }
    }
    explored
}

fn end(execution: &Execution, explored: &mut Explored) {
    let any = |is: fn(&Outcome) -> bool| execution.outcomes().any(is);
    explored.pushed += usize::from(any(|outcome| matches!(outcome, Outcome::Pushed(..))));
    explored.collected += usize::from(any(|outcome| matches!(outcome, Outcome::Collected(1..))));
    explored.lost = execution.lost();
}
