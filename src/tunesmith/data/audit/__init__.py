"""The audit of training data: what is wrong with the rows, before anything is spent on them."""

from __future__ import annotations

from tunesmith.data.audit.report import AuditReport, Finding
from tunesmith.data.audit.run import Groups, audit

__all__ = ["AuditReport", "Finding", "Groups", "audit"]
