"""Whether a contribution fulfils a bounty: pure, and the same for the peer."""

from __future__ import annotations

from nexus_bounty.models import BountyCriteria, Contribution


def unmet(criteria: BountyCriteria, contribution: Contribution) -> list[str]:
    """What `contribution` lacks, in plain words; empty if it meets every criterion.

    A threshold without a direction is to be reached from above (`minimize`), as the peer has it.
    """
    tags = set(contribution.tags)
    lacking = [f"the tag {tag!r}" for tag in criteria.required_tags or () if tag not in tags]
    name, threshold = criteria.metric_name, criteria.metric_threshold
    if name is None or threshold is None:
        return lacking
    score = contribution.scores.get(name)
    if score is None:
        return [*lacking, f"a score for {name!r}"]
    if criteria.metric_direction == "maximize":
        short = not score >= threshold  # also of a score that is no number
        return [*lacking, f"{name} of at least {threshold}, it has {score}"] if short else lacking
    above = not score <= threshold
    return [*lacking, f"{name} of at most {threshold}, it has {score}"] if above else lacking


def evaluate_bounty_criteria(criteria: BountyCriteria, contribution: Contribution) -> bool:
    """Whether `contribution` meets every criterion that is given; `unmet` says what it lacks."""
    return not unmet(criteria, contribution)
