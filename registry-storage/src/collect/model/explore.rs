//! Runs tasks in every order of their steps.
//!
//! Depth first: each order is replayed from the start. Where the world is as
//! before, and each task has seen what it saw before, all that follows is as
//! before, and is left out.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use registry_spec::types::{Digest, RepositoryName};

use super::{Breakage, Model};

/// What a task came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Pushed(RepositoryName, Digest),
    Refused,
    Deleted(RepositoryName, Digest),
    /// How many blobs were removed.
    Collected(u64),
    Died,
}

type Running = Pin<Box<dyn Future<Output = Outcome>>>;
type SetUp<M> = Box<dyn Fn(&mut <M as Model>::World)>;
type Start<M> = Box<dyn Fn(<M as Model>::Handle) -> Running>;

/// A world, and tasks in it.
pub(super) struct Scenario<M: Model> {
    set_up: SetUp<M>,
    tasks: Vec<(Start<M>, bool)>,
    /// How often a task may be interrupted by another one, all in all.
    interruptions: usize,
}

impl<M: Model> Scenario<M> {
    pub(super) fn new(set_up: impl Fn(&mut M::World) + 'static) -> Self {
        Self {
            set_up: Box::new(set_up),
            tasks: Vec::new(),
            interruptions: M::INTERRUPTIONS,
        }
    }

    /// Leaves out the orders with more changes of tasks than these, where all
    /// of them would take hours.
    pub(super) fn interrupted_at_most(mut self, times: usize) -> Self {
        self.interruptions = self.interruptions.min(times);
        self
    }

    pub(super) fn task<F: Future<Output = Outcome> + 'static>(
        self,
        task: impl Fn(M::Handle) -> F + 'static,
    ) -> Self {
        self.with(task, false)
    }

    /// One that may end after any of its steps.
    pub(super) fn mortal_task<F: Future<Output = Outcome> + 'static>(
        self,
        task: impl Fn(M::Handle) -> F + 'static,
    ) -> Self {
        self.with(task, true)
    }

    fn with<F: Future<Output = Outcome> + 'static>(
        mut self,
        task: impl Fn(M::Handle) -> F + 'static,
        is_mortal: bool,
    ) -> Self {
        let start: Start<M> = Box::new(move |handle| Box::pin(task(handle)));
        self.tasks.push((start, is_mortal));
        if self.tasks.len() > 2 {
            self.interruptions = self.interruptions.min(M::OF_THREE);
        }
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

struct Execution<M: Model> {
    world: Arc<Mutex<M::World>>,
    tasks: Vec<(M::Handle, Result<Outcome, Running>)>,
    /// The task that took the last step.
    last: usize,
    /// How often another one took the next step before it had ended.
    interruptions: usize,
}

impl<M: Model> Execution<M> {
    fn new(scenario: &Scenario<M>, breakage: Breakage) -> Self {
        let mut world = M::World::default();
        (scenario.set_up)(&mut world);
        let world = Arc::new(Mutex::new(world));
        let tasks = scenario
            .tasks
            .iter()
            .enumerate()
            .map(|(index, (start, _))| {
                let handle = M::handle(&world, index + 1, breakage);
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
                let (handle, task) = &mut self.tasks[index];
                M::begin_step(handle);
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

    fn choices(&self, scenario: &Scenario<M>) -> Vec<Choice> {
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

    fn world(&self) -> MutexGuard<'_, M::World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, scenario: &Scenario<M>, hasher: &RandomState) -> u64 {
        // What may follow depends on it where interruptions are counted.
        let last = (scenario.interruptions < usize::MAX).then_some(self.last);
        let tasks: Vec<(u64, Option<&Outcome>)> = self
            .tasks
            .iter()
            .map(|(handle, task)| (M::seen(handle), task.as_ref().ok()))
            .collect();
        hasher.hash_one((&*self.world(), tasks, last))
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
                Outcome::Pushed(name, manifest) => M::is_whole(&world, name, manifest),
                Outcome::Deleted(name, manifest) => !M::has_manifest(&world, name, manifest),
                Outcome::Refused | Outcome::Collected(_) | Outcome::Died => true,
            };
            if !is_true {
                lost = Some(format!("{outcome:?} in {:?}", &*world));
            }
        }
        lost
    }
}

pub(super) fn explore<M: Model>(scenario: &Scenario<M>, breakage: Breakage) -> Explored {
    // Time limits are set, and never reached.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    let _within = runtime.enter();
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

fn end<M: Model>(execution: &Execution<M>, explored: &mut Explored) {
    let any = |is: fn(&Outcome) -> bool| execution.outcomes().any(is);
    explored.pushed += usize::from(any(|outcome| matches!(outcome, Outcome::Pushed(..))));
    explored.collected += usize::from(any(|outcome| matches!(outcome, Outcome::Collected(1..))));
    explored.lost = execution.lost();
}
