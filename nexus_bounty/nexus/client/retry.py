"""Where `Deadline`, `RetryPolicy` and `parse_retry_after` were; kept for those who import them."""

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client.retry_after import parse_retry_after
from nexus_bounty.retry import RetryPolicy

__all__ = ["Deadline", "RetryPolicy", "parse_retry_after"]
