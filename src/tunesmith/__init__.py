"""Fine-tune open LLMs on Ray and put the result in front of users."""

__version__ = "0.1.0"
