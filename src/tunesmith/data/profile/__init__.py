"""What the training data look like, in numbers: stored with a dataset version, compared with traffic later."""

from tunesmith.data.profile.describe import asked, describe, describe_text
from tunesmith.data.profile.features import Features, features
from tunesmith.data.profile.files import profile_of, read_profile, write_profile
from tunesmith.data.profile.profile import Profile, build_profile

__all__ = [
    "Features",
    "Profile",
    "asked",
    "build_profile",
    "describe",
    "describe_text",
    "features",
    "profile_of",
    "read_profile",
    "write_profile",
]
