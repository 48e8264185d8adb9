//! Newton's method with conjugate gradients. Vectors are in standardised units, the bias last.

use super::feature_rows::{add, dot, pass};
use super::{HeadFit, Solution, Stop, log_loss};
use crate::base::errors::Result;

/// A step must lower the objective by this share of what the gradient promises (Armijo).
const ENOUGH: f64 = 1e-4;
/// The shortest part of a step that is tried.
const SHORTEST: f64 = 1e-10;

/// The part of the wanted norm of the gradient to which the last system is solved.
const CLOSER: f64 = 0.3;

/// The objective at one place.
struct Point {
    at: Vec<f64>,
    /// The log odds of every sample.
    z: Vec<f64>,
    objective: f64,
    gradient: Vec<f64>,
}

impl Point {
    fn norm(&self) -> f64 {
        product(&self.gradient, &self.gradient).sqrt()
    }

    fn gap(&self, penalty: f64) -> f64 {
        self.norm().powi(2) / (2.0 * penalty * self.objective)
    }
}

/// Minimises from `from` on.
pub(super) fn solve(fit: &HeadFit<'_>, from: Vec<f64>, penalty: f64, stop: Stop) -> Result<Solution> {
    let mut here = point(fit, from, penalty)?;
    let (first, mut passes, mut steps) = (here.norm(), 1, 0);
    while here.gap(penalty) > stop.gap && passes < stop.passes {
        // The system is solved roughly at first, and better and better near the minimum: convergence is faster than
        // linear (Nocedal and Wright, section 7.1). The residual is the next gradient but for the change of the Hessian,
        // so that the last system need not be solved better than the gradient's norm is wanted.
        let wanted = (stop.gap * 2.0 * penalty * here.objective).sqrt();
        let accuracy = ((here.norm() / first).sqrt().min(0.25) * here.norm()).max(CLOSER * wanted);
        let step = newton_step(fit, &here, penalty, accuracy, stop.passes - passes)?;
        passes += step.passes + 1;
        let Some(at) = search(fit, &here, &step, penalty) else { break };
        here = point(fit, at, penalty)?;
        steps += 1;
    }
    let gap = here.gap(penalty);
    Ok(Solution {
        head: fit.scale.raw(&here.at),
        penalty,
        objective: here.objective,
        gradient_norm: here.norm(),
        gap,
        steps,
        passes,
        converged: gap <= stop.gap,
    })
}

/// Objective and gradient, in one pass.
fn point(fit: &HeadFit<'_>, at: Vec<f64>, penalty: f64) -> Result<Point> {
    let raw = fit.scale.raw(&at);
    let slope = |row: usize, z: f64| fit.share[row] * log_loss(fit.covid[row], z).1;
    let (z, sum) = pass(fit.features, fit.features.width(), |row, x, sum| {
        let z = dot(x, &raw.weight) + raw.bias;
        add(sum, slope(row, z), x);
        Ok(z)
    })?;
    let slopes = z.iter().enumerate().map(|(row, z)| slope(row, *z)).sum();
    let mut gradient = fit.scale.of_sum(&sum, slopes);
    penalise(&mut gradient, &at, penalty);
    Ok(Point { objective: objective(fit, &z, &at, penalty), at, z, gradient })
}

fn objective(fit: &HeadFit<'_>, z: &[f64], at: &[f64], penalty: f64) -> f64 {
    let losses = fit.share.iter().zip(fit.covid).zip(z).map(|((share, covid), z)| share * log_loss(*covid, *z).0);
    losses.sum::<f64>() + penalty / 2.0 * product(weights(at), weights(at))
}

/// A direction, and what it adds to the log odds of every sample.
struct NewtonStep {
    along: Vec<f64>,
    z: Vec<f64>,
    passes: usize,
}

/// Solves `Hessian · step = -gradient` by conjugate gradients until the residual is at most `accuracy`.
fn newton_step(fit: &HeadFit<'_>, here: &Point, penalty: f64, accuracy: f64, most: usize) -> Result<NewtonStep> {
    let slope = |(row, z): (usize, &f64)| {
        let (p, q) = (super::sigmoid(*z), super::sigmoid(-*z));
        fit.share[row] * p * q
    };
    let curvature: Vec<f64> = here.z.iter().enumerate().map(slope).collect();
    let mut residual: Vec<f64> = here.gradient.iter().map(|g| -g).collect();
    let mut direction = residual.clone();
    let mut step = NewtonStep { along: vec![0.0; direction.len()], z: vec![0.0; here.z.len()], passes: 0 };
    let mut left = product(&residual, &residual);
    while left.sqrt() > accuracy && step.passes < most {
        let (curved, z) = hessian(fit, &curvature, &direction, penalty)?;
        step.passes += 1;
        let length = left / product(&direction, &curved);
        shift(&mut step.along, length, &direction);
        shift(&mut step.z, length, &z);
        shift(&mut residual, -length, &curved);
        let before = std::mem::replace(&mut left, product(&residual, &residual));
        let turn = left / before;
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + turn * *d);
    }
    Ok(step)
}

/// The product of the Hessian with a direction, in one pass, and what the direction adds to the log odds.
fn hessian(fit: &HeadFit<'_>, curvature: &[f64], direction: &[f64], penalty: f64) -> Result<(Vec<f64>, Vec<f64>)> {
    let raw = fit.scale.raw(direction);
    let (z, sum) = pass(fit.features, fit.features.width(), |row, x, sum| {
        let z = dot(x, &raw.weight) + raw.bias;
        add(sum, curvature[row] * z, x);
        Ok(z)
    })?;
    let mut curved = fit.scale.of_sum(&sum, product(curvature, &z));
    penalise(&mut curved, direction, penalty);
    Ok((curved, z))
}

/// The end of the longest part of a step, halved again and again, that lowers the objective enough; `None` where
/// rounding leaves none. Log odds are linear in the step, so that no features are read.
fn search(fit: &HeadFit<'_>, here: &Point, step: &NewtonStep, penalty: f64) -> Option<Vec<f64>> {
    let promised = product(&here.gradient, &step.along);
    let moved =
        |of: &[f64], by: &[f64], part: f64| -> Vec<f64> { of.iter().zip(by).map(|(a, b)| a + part * b).collect() };
    // Near the minimum the promised decrease is less than the objective's rounding.
    let rounding = 4.0 * f64::EPSILON * here.objective;
    let mut part = 1.0;
    while part >= SHORTEST {
        let (at, z) = (moved(&here.at, &step.along, part), moved(&here.z, &step.z, part));
        if objective(fit, &z, &at, penalty) <= here.objective + ENOUGH * part * promised + rounding {
            return Some(at);
        }
        part /= 2.0;
    }
    None
}

fn weights(at: &[f64]) -> &[f64] {
    &at[..at.len() - 1]
}

fn penalise(gradient: &mut [f64], at: &[f64], penalty: f64) {
    shift(gradient, penalty, weights(at));
}

/// Adds `factor · by` to the first values of `to`.
fn shift(to: &mut [f64], factor: f64, by: &[f64]) {
    to.iter_mut().zip(by).for_each(|(to, by)| *to += factor * by);
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
