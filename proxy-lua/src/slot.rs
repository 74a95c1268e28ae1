//! The contexts of a generator: made when there is no free one, and kept for the next request.

use std::sync::Arc;
use std::time::Instant;

use mlua::{Lua, Result, Value};

use crate::api::context::ContextObject;
use crate::api::error;
use crate::coroutine::Coroutine;
use crate::object::{Object, Request, value_of};
use crate::response::Response;
use crate::wait::Waits;
use crate::worker::{Context, Handle, Shared, Target, Worker};

/// Takes a free context of a generator, or makes one.
///
/// # Errors
/// The generator raised an error.
pub fn take(lua: &Lua, shared: &Shared, generator: usize) -> Result<usize> {
    let free = shared.borrow_mut().generators.get_mut(generator).and_then(|generator| generator.free.pop());
    free.map_or_else(|| make(lua, shared, generator), Ok)
}

/// Makes a context of a generator, with contexts for the functions that its handles lead to.
///
/// # Errors
/// The generator raised an error, or returned no function.
pub fn make(lua: &Lua, shared: &Shared, generator: usize) -> Result<usize> {
    let (function, argument, targets) = {
        let worker = shared.borrow();
        let generator = worker.generators.get(generator);
        let generator = generator.ok_or_else(|| error("function generator is not ready"))?;
        (generator.function.clone(), generator.argument.clone(), generator.targets.clone())
    };
    let function = function.ok_or_else(|| error("function generator is not ready"))?;
    let number = shared.borrow_mut().contexts.add(Context {
        generator,
        coroutine: None,
        parent: None,
        request: None,
        caller: None,
        fd: -1,
        common_name: None,
        handles: Vec::new(),
        waits: Waits::new(targets.len()),
        timer: None,
        objects: Vec::new(),
        held: 0,
    });
    let made = fill(lua, shared, number, &targets).and_then(|()| {
        let object = lua.create_userdata(ContextObject::new(number, shared))?;
        let outer = shared.borrow_mut().current.replace(number);
        let made = function.call::<Value>((&object, argument));
        shared.borrow_mut().current = outer;
        let Value::Function(function) = made? else {
            return Err(error("function generator didn't return a function"));
        };
        Coroutine::new(lua, function, &object)
    });
    let mut worker = shared.borrow_mut();
    match made {
        Ok(coroutine) => {
            if let Some(context) = worker.contexts.get_mut(number) {
                context.coroutine = Some(coroutine);
            }
            let functions = Arc::clone(&worker.functions);
            if let Some(generator) = worker.generators.get_mut(generator) {
                generator.total += 1;
                functions.add(&generator.name, 0, 1);
            }
            Ok(number)
        }
        Err(fault) => {
            let context = worker.contexts.remove(number);
            for handle in context.into_iter().flat_map(|context| context.handles) {
                if let Some(child) = handle.child {
                    give_back(&mut worker, child);
                }
            }
            Err(fault)
        }
    }
}

/// Gives a new context its handles.
fn fill(lua: &Lua, shared: &Shared, number: usize, targets: &[Target]) -> Result<()> {
    for (index, target) in targets.iter().enumerate() {
        let response = Object::new(lua, Response::empty())?;
        let child = match target {
            Target::Generator(child) => Some(take(lua, shared, *child)?),
            Target::Pool(_) | Target::Internal => None,
        };
        let mut worker = shared.borrow_mut();
        if let Some(child) = child.and_then(|child| worker.contexts.get_mut(child)) {
            (child.parent, child.request) = (Some((number, index)), None);
        }
        if let Some(context) = worker.contexts.get_mut(number) {
            let sent = Instant::now();
            context.handles.push(Handle {
                result: None,
                response,
                request: None,
                callback: None,
                child,
                sent,
                to: None,
            });
        }
    }
    Ok(())
}

/// Returns a context to its generator.
pub fn give_back(worker: &mut Worker, context: usize) {
    reset(worker, context);
    let Some(one) = worker.contexts.get_mut(context) else { return };
    one.parent = None;
    let Some(generator) = worker.generators.get_mut(one.generator) else { return };
    if generator.easing.frees(generator.free.len(), generator.total) {
        remove(worker, context);
    } else {
        generator.free.push(context);
    }
    remove_lost(worker);
}

/// Removes the generators that have no users and no object. Those with requests stay for now.
fn remove_lost(worker: &mut Worker) {
    let mut at = 0;
    while let Some(&number) = worker.lost.get(at) {
        let generator = worker.generators.get_mut(number).filter(|generator| generator.users == 0);
        let Some(generator) = generator else {
            worker.lost.swap_remove(at);
            continue;
        };
        if generator.free.len() < generator.total {
            at += 1;
            continue;
        }
        let free = std::mem::take(&mut generator.free);
        worker.lost.swap_remove(at);
        free.into_iter().for_each(|context| remove(worker, context));
        let Some(generator) = worker.generators.remove(number) else { continue };
        if generator.function.is_some() {
            worker.functions.add(&generator.name, -1, 0);
        }
        for target in &generator.targets {
            if let Target::Generator(child) = target {
                worker.release(*child);
            }
        }
    }
}

/// Removes a context, with those of its handles.
fn remove(worker: &mut Worker, context: usize) {
    let mut contexts = vec![context];
    while let Some(context) = contexts.pop() {
        let Some(context) = worker.contexts.remove(context) else { continue };
        contexts.extend(context.handles.iter().filter_map(|handle| handle.child));
        if let Some(generator) = worker.generators.get_mut(context.generator) {
            generator.total = generator.total.saturating_sub(1);
            worker.functions.add(&generator.name, 0, -1);
        }
    }
}

/// Empties a context and those of its handles after a request.
fn reset(worker: &mut Worker, context: usize) {
    worker.clear_timer(context);
    let Some(context) = worker.contexts.get_mut(context) else { return };
    context.waits.reset();
    (context.caller, context.common_name) = (None, None);
    worker.held -= std::mem::take(&mut context.held);
    // A program that still uses an object has an empty one.
    match &context.request {
        Some(_) if context.parent.is_some() => context.request = None,
        Some(request) => request.value.borrow_mut().0 = None,
        None => {}
    }
    for object in &context.objects {
        if let Ok(request) = value_of::<Request>(object) {
            request.borrow_mut().0 = None;
        } else if let Ok(response) = value_of::<Response>(object) {
            *response.borrow_mut() = Response::empty();
        }
    }
    let mut children = Vec::new();
    for handle in &mut context.handles {
        (handle.result, handle.request) = (None, None);
        *handle.response.value.borrow_mut() = Response::empty();
        children.extend(handle.child);
    }
    children.into_iter().for_each(|child| reset(worker, child));
}
