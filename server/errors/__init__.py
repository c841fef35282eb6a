"""The errors that a caller can get, each with its HTTP status.

::

    ServingError                500
    ├── ProtocolError           400  or another status: the request is none of HTTP that is read
    │   └── BodiesFull          503  large bodies hold all the memory that is for them
    ├── InvalidRequest          400  a field has a value that cannot be served
    │   ├── UnsupportedMedia    415  the body has a form that is not read
    │   ├── UnsupportedFormat   406  the caller accepts none of our formats
    │   └── UnknownSuffix       404  a path ends as none of our formats does
    ├── NotAuthorized           401  only administrators may do this
    ├── NoAdministrators        403  nobody may do this, as the server has no administrators
    ├── KeyMissing              401  only holders of keys may do this, and the request has none
    │   └── KeyUnknown          401  the request has a key that nobody has been given
    ├── NotAdministrator        403  only administrators may do this, and the key is no such
    ├── RateExceeded            429  the key has drawn as much as it may for now
    ├── TooManyInFlight         429  the key has as much in flight as it may
    ├── ModelNotFound           404  the repository has no such model or version
    ├── ServiceNotFound         404  gRPC's health is asked for of what is none of the services
    ├── ModelUnavailable        503  the repository has the model, but it is not served
    ├── ModelGone               503  the model that has begun to draw is not there any more
    ├── PlanGone                503  the plan that has begun to draw is no engine's any more
    ├── LoadFailed              400  a model cannot be loaded or unloaded
    ├── NotOffered              501  the interface has it, this server has not
    ├── TooManyCalls            503  as many calls are answered as may be at a time
    ├── ServerEnding            503  the process ends, and takes no more calls
    ├── QueueFull               503  the queue holds as much as can be served in time
    ├── EngineUnavailable       503  no engine answers: starting, restarting or stopping
    ├── DeadlineExceeded        504  the answer would have come too late
    ├── ClientGone              499  nobody waits for the answer any more
    └── InferenceFailed         500  the runtime raised on this request
"""

from server.errors.base import (
    ERROR,
    ServingError,
    Words,
    shown,
    without_paths,
)
from server.errors.keys import (
    KeyMissing,
    KeyUnknown,
    NoAdministrators,
    NotAdministrator,
    NotAuthorized,
    RateExceeded,
    TooManyInFlight,
)
from server.errors.models import (
    LoadFailed,
    ModelGone,
    ModelNotFound,
    ModelUnavailable,
    PlanGone,
)
from server.errors.requests import (
    BodiesFull,
    InvalidRequest,
    NotOffered,
    ProtocolError,
    ServiceNotFound,
    UnknownSuffix,
    UnsupportedFormat,
    UnsupportedMedia,
)
from server.errors.serving import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    QueueFull,
    ServerEnding,
    TooManyCalls,
)

__all__ = [
    "ERROR",
    "BodiesFull",
    "ClientGone",
    "DeadlineExceeded",
    "EngineUnavailable",
    "InferenceFailed",
    "InvalidRequest",
    "KeyMissing",
    "KeyUnknown",
    "LoadFailed",
    "ModelGone",
    "ModelNotFound",
    "ModelUnavailable",
    "NoAdministrators",
    "NotAdministrator",
    "NotAuthorized",
    "NotOffered",
    "PlanGone",
    "ProtocolError",
    "QueueFull",
    "RateExceeded",
    "ServerEnding",
    "ServiceNotFound",
    "ServingError",
    "TooManyCalls",
    "TooManyInFlight",
    "UnknownSuffix",
    "UnsupportedFormat",
    "UnsupportedMedia",
    "Words",
    "shown",
    "without_paths",
]
