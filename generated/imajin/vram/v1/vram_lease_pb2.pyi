import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_STATE_UNSPECIFIED: _ClassVar[LeaseState]
    LEASE_STATE_WAITING: _ClassVar[LeaseState]
    LEASE_STATE_HELD: _ClassVar[LeaseState]
    LEASE_STATE_REVOKING: _ClassVar[LeaseState]

class RevokeReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVOKE_REASON_UNSPECIFIED: _ClassVar[RevokeReason]
    REVOKE_REASON_PREEMPTED: _ClassVar[RevokeReason]
    REVOKE_REASON_DRAINING: _ClassVar[RevokeReason]

class ReleaseReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RELEASE_REASON_UNSPECIFIED: _ClassVar[ReleaseReason]
    RELEASE_REASON_CLIENT: _ClassVar[ReleaseReason]
    RELEASE_REASON_REVOKED: _ClassVar[ReleaseReason]
    RELEASE_REASON_EXPIRED: _ClassVar[ReleaseReason]
LEASE_STATE_UNSPECIFIED: LeaseState
LEASE_STATE_WAITING: LeaseState
LEASE_STATE_HELD: LeaseState
LEASE_STATE_REVOKING: LeaseState
REVOKE_REASON_UNSPECIFIED: RevokeReason
REVOKE_REASON_PREEMPTED: RevokeReason
REVOKE_REASON_DRAINING: RevokeReason
RELEASE_REASON_UNSPECIFIED: ReleaseReason
RELEASE_REASON_CLIENT: ReleaseReason
RELEASE_REASON_REVOKED: ReleaseReason
RELEASE_REASON_EXPIRED: ReleaseReason

class HoldLeaseRequest(_message.Message):
    __slots__ = ("acquire", "resume", "heartbeat", "resize", "release")
    ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    acquire: Acquire
    resume: Resume
    heartbeat: Heartbeat
    resize: Resize
    release: Release
    def __init__(self, acquire: _Optional[_Union[Acquire, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., resize: _Optional[_Union[Resize, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class Acquire(_message.Message):
    __slots__ = ("bytes", "device_id", "priority", "preemptible", "holder", "max_wait", "ttl", "group")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIBLE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    device_id: str
    priority: int
    preemptible: bool
    holder: str
    max_wait: _duration_pb2.Duration
    ttl: _duration_pb2.Duration
    group: str
    def __init__(self, bytes: _Optional[int] = ..., device_id: _Optional[str] = ..., priority: _Optional[int] = ..., preemptible: _Optional[bool] = ..., holder: _Optional[str] = ..., max_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., group: _Optional[str] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("lease_id", "fencing_token")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    fencing_token: int
    def __init__(self, lease_id: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("bytes_used", "idle")
    BYTES_USED_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    bytes_used: int
    idle: bool
    def __init__(self, bytes_used: _Optional[int] = ..., idle: _Optional[bool] = ...) -> None: ...

class Resize(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HoldLeaseResponse(_message.Message):
    __slots__ = ("waiting", "granted", "heartbeat_ack", "revoke", "resized", "released")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACK_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    RESIZED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    waiting: WaitingInQueue
    granted: Granted
    heartbeat_ack: HeartbeatAck
    revoke: Revoke
    resized: Resized
    released: Released
    def __init__(self, waiting: _Optional[_Union[WaitingInQueue, _Mapping]] = ..., granted: _Optional[_Union[Granted, _Mapping]] = ..., heartbeat_ack: _Optional[_Union[HeartbeatAck, _Mapping]] = ..., revoke: _Optional[_Union[Revoke, _Mapping]] = ..., resized: _Optional[_Union[Resized, _Mapping]] = ..., released: _Optional[_Union[Released, _Mapping]] = ...) -> None: ...

class WaitingInQueue(_message.Message):
    __slots__ = ("position", "requested_bytes", "available_bytes")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    position: int
    requested_bytes: int
    available_bytes: int
    def __init__(self, position: _Optional[int] = ..., requested_bytes: _Optional[int] = ..., available_bytes: _Optional[int] = ...) -> None: ...

class Granted(_message.Message):
    __slots__ = ("lease_id", "fencing_token", "device_id", "bytes", "heartbeat_interval", "ttl")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    fencing_token: int
    device_id: str
    bytes: int
    heartbeat_interval: _duration_pb2.Duration
    ttl: _duration_pb2.Duration
    def __init__(self, lease_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., device_id: _Optional[str] = ..., bytes: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class HeartbeatAck(_message.Message):
    __slots__ = ("expire_time",)
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("reason", "deadline", "grace")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    reason: RevokeReason
    deadline: _timestamp_pb2.Timestamp
    grace: _duration_pb2.Duration
    def __init__(self, reason: _Optional[_Union[RevokeReason, str]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Resized(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: ReleaseReason
    def __init__(self, reason: _Optional[_Union[ReleaseReason, str]] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ...) -> None: ...

class ListLeasesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListLeasesResponse(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class WatchLeasesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchLeasesResponse(_message.Message):
    __slots__ = ("devices", "leases")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("device_id", "name", "total_bytes", "leased_bytes", "available_bytes", "simulated")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    LEASED_BYTES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    name: str
    total_bytes: int
    leased_bytes: int
    available_bytes: int
    simulated: bool
    def __init__(self, device_id: _Optional[str] = ..., name: _Optional[str] = ..., total_bytes: _Optional[int] = ..., leased_bytes: _Optional[int] = ..., available_bytes: _Optional[int] = ..., simulated: _Optional[bool] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("lease_id", "holder", "state", "bytes", "bytes_used", "device_id", "priority", "preemptible", "fencing_token", "position", "since", "expire_time", "idle", "group")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    BYTES_USED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIBLE_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    holder: str
    state: LeaseState
    bytes: int
    bytes_used: int
    device_id: str
    priority: int
    preemptible: bool
    fencing_token: int
    position: int
    since: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    idle: bool
    group: str
    def __init__(self, lease_id: _Optional[str] = ..., holder: _Optional[str] = ..., state: _Optional[_Union[LeaseState, str]] = ..., bytes: _Optional[int] = ..., bytes_used: _Optional[int] = ..., device_id: _Optional[str] = ..., priority: _Optional[int] = ..., preemptible: _Optional[bool] = ..., fencing_token: _Optional[int] = ..., position: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., idle: _Optional[bool] = ..., group: _Optional[str] = ...) -> None: ...
