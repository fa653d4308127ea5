"""Emulate mode: resources held in the embedded AWS, as their tables tell (`local_aws.tables`)."""

import functools
import uuid
from collections.abc import Iterable
from typing import Any

import jmespath  # type: ignore[import-untyped]

from local_aws.carried import carries, filled, inner
from local_aws.journal import Creation, Journal
from local_aws.members import DoesNotFit, Names, from_members, settled, to_members
from local_aws.operations import CallFailed, Operations, input_shape
from local_aws.provider import PartlyCreated, Refused, State, name_of, top_level, type_of
from local_aws.sdk_types import ResourceType
from local_aws.tables.form import Call, Run, Step, Type
from local_aws.values import Props, Secret, changes, holds, plain


class Emulation:
    """Creates, reads, updates and deletes resources that have a table; `account` is the embedded AWS's.

    A refusal of AWS is raised as `Refused`, with the operation and AWS's reason; where the resource exists
    but is not whole, as `PartlyCreated`, and the next update completes it.
    """

    def __init__(self, operations: Operations, journal: Journal, account: str) -> None:
        self._operations, self._journal, self._account = operations, journal, account

    def create(self, urn: str, kind: ResourceType, table: Type, inputs: Props, name: str) -> State:
        """Makes the resource, or adopts the one that a killed `up` made under the same `name`."""
        bare = plain(inputs)
        asked = table.prepare(bare | {"urn": urn}) if table.prepare else bare
        before = self._journal.pending(urn)
        if before and before.id and self._find(kind, table, bare, before.id) is not None:
            return self._complete(urn, kind, table, inputs, Creation(urn, name, before.id), {}, adopted=True)
        unheard = before is not None and not before.id  # the killed `up` may have asked already
        attempt = before.attempt if before and unheard else uuid.uuid4().hex
        self._journal.note(Creation(urn, name, attempt=attempt))
        scope, call = self._scope(asked), table.create or table.put
        try:
            with self._operations.once(attempt):
                made = (self._call(table, call, asked, scope) if call else None) or {}
            made = jmespath.search(table.made, made) if table.made else made
        except CallFailed as error:
            # Taken is the very name that the killed `up` asked for: AWS had answered, and nobody listened.
            finder = (table.lookup or table.read) if unheard and error.exists else None
            made = self._ask(table, finder, self._scope(bare, filled(table.id, scope))) if finder else None
            if made is None:
                self._journal.strike(urn)
                raise Refused(f"creating {_label(urn)}: {error}") from error
        creation = Creation(urn, name, self._identity(kind, table, scope, made))
        return self._complete(urn, kind, table, inputs, creation, made, adopted=unheard)

    def _identity(self, kind: ResourceType, table: Type, scope: Props, told: Any) -> str:
        """The Pulumi id, of what AWS told of the resource."""
        members = told if isinstance(told, dict) else {}
        return str(filled(table.id, scope | members | from_members(members, kind, table.names)))

    def _complete(
        self,
        urn: str,
        kind: ResourceType,
        table: Type,
        inputs: Props,
        creation: Creation,
        made: Props,
        adopted: bool,
    ) -> State:
        """The second half of a creation: everything that `create` itself does not take."""
        self._journal.note(creation)
        bare, told = plain(inputs), from_members(made, kind, table.names)
        scope = self._scope(told | bare, creation.id)
        done: Props = {}
        try:
            if adopted:  # what the killed `up` asked for may not be what is asked for now
                there = self._find(kind, table, scope, creation.id) or {}
                scope = self._scope(there | scope, creation.id)
                real = {name: plain(_kept(value, there.get(name))) for name, value in inputs.items()}
                self._apply(kind, table, scope, bare, real, table.update)
                # The second half may have been done too; what AWS does not tell is done again.
                done = {name: value for name, value in real.items() if there.get(name) is not None}
            self._apply(kind, table, scope, bare, done, table.then)
            create = table.create or table.put
            tags = create and table.names.members(
                ["tags"], input_shape(table.service, create.operation).members
            )
            if adopted or not tags:
                self._retag(table, scope, {}, bare.get("tags") or {})
            found = self._find(kind, table, scope, creation.id)
            if found is None:
                raise Refused(f"creating {_label(urn)}: it was created and cannot be found")
        except (CallFailed, Refused) as error:
            raise PartlyCreated(f"creating {_label(urn)}: {error}", creation.id, {}, told | inputs) from error
        return State(creation.id, self._outputs(kind, inputs, found))

    def read(self, kind: ResourceType, table: Type, id: str, inputs: Props, outputs: Props) -> State | None:
        """The resource with the inputs that would make it as it is now; None when it is gone."""
        try:
            found = self._find(kind, table, plain(outputs | inputs), id)
        except CallFailed as error:
            raise Refused(f"reading {kind.token} {id}: {error}") from error
        if found is None:
            return None
        real = {name: _kept(value, found.get(name)) for name, value in inputs.items()}
        return State(id, self._outputs(kind, real, found), real)

    def update(
        self, urn: str, kind: ResourceType, table: Type, id: str, old: Props, outputs: Props, news: Props
    ) -> Props:
        """Runs the operations that take what changed, and returns the new outputs."""
        before, bare = plain(old), plain(news)
        computed = {name: value for name, value in plain(outputs).items() if name not in kind.inputs}
        scope = self._scope(computed | bare, id)
        calls = (*((table.put,) if table.put else ()), *table.then, *table.update)
        try:
            self._apply(kind, table, scope, bare, before, calls)
            if before.get("tags") != bare.get("tags"):
                self._retag(table, scope, before.get("tags") or {}, bare.get("tags") or {})
            found = self._find(kind, table, scope, id)
        except (CallFailed, Refused) as error:
            raise Refused(f"updating {_label(urn)}: {error}") from error
        if found is None:
            raise Refused(f"updating {_label(urn)}: {id} is gone from the embedded AWS; refresh the stack")
        return self._outputs(kind, news, found)

    def delete(self, urn: str, kind: ResourceType, table: Type, id: str, outputs: Props) -> None:
        """Removes the resource; that it is gone already is as good."""
        scope = self._scope(plain(outputs), id)
        try:
            if table.clear is not None:
                table.clear(self._run(table), scope)
            if table.delete is not None:
                self._call(table, table.delete, {}, scope)
        except CallFailed as error:
            if not error.missing:
                raise Refused(f"deleting {_label(urn)}: {error}") from error

    # One resource in terms of calls ----------------------------------------------------------------

    def _apply(
        self,
        kind: ResourceType,
        table: Type,
        scope: Props,
        inputs: Props,
        old: Props,
        calls: Iterable[Call | Step],
    ) -> None:
        """Runs those of the calls that take a property in which `old` and `inputs` differ."""
        changed = {top_level(path) for path in changes(old, inputs)}
        for call in calls:
            if not changed & carries(table, call, kind.inputs):
                continue
            if isinstance(call, Step):
                call.act(self._run(table), scope, old)
            elif call.off and not any(inputs.get(name) for name in call.on):
                self._call(table, Call(operation=call.off), {}, scope)
            else:
                self._call(table, call, table.prepare(inputs) if table.prepare else inputs, scope)

    def _find(self, kind: ResourceType, table: Type, known: Props, id: str) -> Props | None:
        """All outputs that AWS and the table tell of a resource; None when there is no such resource."""
        scope = self._scope(known, id)
        actual = self._ask(table, table.read, scope) if table.read else {}
        if actual is None:
            return None
        found = from_members(actual if isinstance(actual, dict) else {}, kind, table.names)
        for name, call in table.facts.items():
            fact = self._ask(table, call, scope)
            if fact is not None:
                found |= from_members({name: fact}, kind, Names("", {}))
        for name, template in table.outputs.items():
            found[name] = filled(template, scope | found)
        return {name: value for name, value in found.items() if name not in table.unread}

    def _ask(self, table: Type, call: Call, scope: Props) -> Any:
        try:
            response = self._call(table, call, {}, scope)
        except CallFailed as error:
            if error.missing:
                return None
            raise
        return jmespath.search(filled(call.result, scope), response) if call.result else response

    def _outputs(self, kind: ResourceType, inputs: Props, found: Props) -> Props:
        outputs = found | {name: _kept(value, found.get(name)) for name, value in inputs.items()}
        outputs["region"] = inputs.get("region", self._operations.region)
        if kind.taggable:
            outputs["tagsAll"] = outputs.get("tags") or {}
        secret = {name: Secret(outputs[name]) for name in kind.secrets if name in outputs}
        return outputs | {name: value for name, value in secret.items() if not holds(outputs[name], Secret)}

    def _retag(self, table: Type, scope: Props, old: Props, new: Props) -> None:
        if table.tag is None:
            return
        gone = [key for key in old if key not in new]
        if table.untag is None:  # its tag operation replaces them all
            if old or new:
                pairs = [{"Key": key, "Value": value} for key, value in new.items()]
                self._call(table, table.tag, {}, {"tagging": {"TagSet": pairs}} | scope)
            return
        steps: tuple[tuple[Call, Any], ...] = ((table.tag, new), (table.untag, gone))
        for call, tags in steps:
            if not tags:
                continue
            shape = input_shape(table.service, call.operation)
            names = [name for name in shape.required_members if name not in call.fixed]
            given = {name: scope.get("arn") for name in names if name.lower().startswith("resource")}
            for name in names:
                if name.lower().startswith("tag"):
                    pairs = shape.members[name].type_name == "list" and shape.members[name].member
                    keyed = call is table.untag and pairs and pairs.type_name == "structure"
                    given[name] = [{"Key": key} for key in tags] if keyed else tags
            self._call(table, call, {}, given | scope)

    def _call(self, table: Type, call: Call, properties: Props, scope: Props) -> Any:
        """Runs an operation with the properties that it takes; whatever else it requires is in `scope`."""
        shape = input_shape(table.service, call.operation)
        if call.on:
            properties = {name: value for name, value in properties.items() if name in call.on}
        try:
            parameters = to_members(properties, shape, table.names) if shape else {}
            if call.wrap:
                wrapped = to_members(properties, inner(shape, call.wrap), table.names)
                _put(parameters, call.wrap.split("."), wrapped)
            absent = [name for name in shape.required_members if name not in parameters] if shape else []
            known = [name for name, value in scope.items() if value is not None]
            for name, member in table.names.members(known, absent).items():
                parameters[member] = to_members(scope[name], shape.members[member], table.names)
        except DoesNotFit as error:
            raise CallFailed(call.operation, "ParamValidation", str(error)) from error
        return self._operations.run(table.service, call.operation, **parameters | filled(call.fixed, scope))

    def _run(self, table: Type) -> Run:
        return functools.partial(self._operations.run, table.service)

    def _scope(self, known: Props, id: str = "") -> Props:
        fixed = {"region": self._operations.region, "account": self._account}
        given = {"id": id} if id else {}
        return fixed | {"emulator": self._operations.endpoint} | known | given


def _label(urn: str) -> str:
    return f"{type_of(urn)} {name_of(urn)}"


def _kept(asked: Any, actual: Any) -> Any:
    """`settled`, with the secret marks of what was asked for."""
    value = settled(plain(asked), actual)
    if value is not actual or actual is None:
        return asked
    return Secret(actual) if holds(asked, Secret) else actual


def _put(parameters: Props, path: list[str], value: Props) -> None:
    for name in path[:-1]:
        parameters = parameters.setdefault(name, {})
    parameters[path[-1]] = value | parameters.get(path[-1], {})
