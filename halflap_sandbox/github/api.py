"""The REST API: issues, pull requests, files and webhooks of a repository."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from halflap_sandbox.github.model import Hook, Json, Repo, Session, World, blob_sha
from halflap_sandbox.github.sender import Sender
from halflap_sandbox.rest import ApiError


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a token: what it gave, and the places in its path."""

    world: World
    sender: Sender
    session: Session
    base: str
    places: Mapping[str, str]
    given: Mapping[str, Any]

    @property
    def repo(self) -> Repo:
        """The repository of the path; unknown where the token may not see it."""
        found = self.world.repos.get(f"{self.places['owner']}/{self.places['repo']}")
        if found is None or not self.world.sees(self.session, found.owner):
            raise ApiError(404, "Not Found")
        return found

    def required(self, *names: str) -> list[Any]:
        """Return fields that have to be there."""
        missing = [each for each in names if self.given.get(each) in (None, "")]
        if missing:
            raise ApiError(422, f"Validation Failed: {', '.join(missing)} missing")
        return [self.given[each] for each in names]

    def numbered(self, of: Mapping[int, Json]) -> Json:
        """Return an issue or a pull request by the number in the path."""
        found = of.get(int(self.places["number"])) if self.places["number"].isdigit() else None
        if found is None:
            raise ApiError(404, "Not Found")
        return found


def get_repo(call: Call) -> Json:
    """Get a repository."""
    return call.repo.json()


def list_issues(call: Call) -> list[Json]:
    """List issues, and pull requests as issues, newest first."""
    labels = set(filter(None, str(call.given.get("labels", "")).split(",")))
    found = [
        each
        for each in call.repo.issues.values()
        if call.given.get("state", "open") in ("all", each["state"])
        and labels <= {label["name"] for label in each["labels"]}
        and each["updated_at"] >= str(call.given.get("since", ""))[:19]
    ]
    return sorted(found, key=lambda each: -each["number"])


def create_issue(call: Call) -> Json:
    """Open an issue, and tell of it."""
    call.required("title")
    return opened(call, call.repo, call.given)


def opened(call: Call, repo: Repo, given: Mapping[str, Any]) -> Json:
    """Open an issue in a repository."""
    number = next(repo.numbers)
    issue: Json = {
        "id": next(call.world.ids),
        "number": number,
        "title": given["title"],
        "body": given.get("body"),
        "state": "open",
        "user": call.session.account.json(),
        "labels": [{"name": each} for each in given.get("labels") or ()],
        "assignees": [{"login": each} for each in given.get("assignees") or ()],
        "comments": 0,
        "url": f"{call.base}/repos/{repo.full_name}/issues/{number}",
        "html_url": f"https://github.com/{repo.full_name}/issues/{number}",
        "created_at": call.world.now(),
        "updated_at": call.world.now(),
    }
    repo.issues[number] = issue
    call.sender.event(repo, "issues", {"action": "opened", "issue": issue}, issue["user"])
    return issue


def get_issue(call: Call) -> Json:
    """Get an issue."""
    return call.numbered(call.repo.issues)


def update_issue(call: Call) -> Json:
    """Change an issue, and tell of it."""
    repo, issue = call.repo, call.numbered(call.repo.issues)
    was = issue["state"]
    issue.update(
        {name: call.given[name] for name in ("title", "body", "state") if name in call.given}
    )
    if "labels" in call.given:
        issue["labels"] = [{"name": each} for each in call.given["labels"]]
    if "assignees" in call.given:
        issue["assignees"] = [{"login": each} for each in call.given["assignees"]]
    issue["updated_at"] = call.world.now()
    moved = {("open", "closed"): "closed", ("closed", "open"): "reopened"}
    action = moved.get((was, issue["state"]), "edited")
    call.sender.event(
        repo, "issues", {"action": action, "issue": issue}, call.session.account.json()
    )
    return issue


def list_comments(call: Call) -> list[Json]:
    """List the comments on an issue, the oldest first."""
    number = call.numbered(call.repo.issues)["number"]
    return [each for each in call.repo.comments if each["number"] == number]


def create_comment(call: Call) -> Json:
    """Comment on an issue, and tell of it."""
    repo, issue = call.repo, call.numbered(call.repo.issues)
    [body] = call.required("body")
    comment: Json = {
        "id": (id := next(call.world.ids)),
        "number": issue["number"],
        "body": body,
        "user": call.session.account.json(),
        "html_url": f"{issue['html_url']}#issuecomment-{id}",
        "created_at": call.world.now(),
    }
    repo.comments.append(comment)
    issue["comments"] += 1
    told = {"action": "created", "issue": issue, "comment": comment}
    call.sender.event(repo, "issue_comment", told, comment["user"])
    return comment


def list_pulls(call: Call) -> list[Json]:
    """List pull requests, newest first."""
    given = call.given
    found = [
        each
        for each in call.repo.pulls.values()
        if given.get("state", "open") in ("all", each["state"])
        and given.get("base") in (None, each["base"]["ref"])
        and given.get("head") in (None, f"{call.repo.owner.login}:{each['head']['ref']}")
    ]
    return sorted(found, key=lambda each: -each["number"])


def create_pull(call: Call) -> Json:
    """Open a pull request, which is an issue as well."""
    repo = call.repo
    title, head, base = call.required("title", "head", "base")
    if not {head, base} <= repo.branches.keys() or head == base:
        raise ApiError(422, "Validation Failed: no commits between head and base")
    if any(
        (e["head"]["ref"], e["base"]["ref"], e["state"]) == (head, base, "open")
        for e in repo.pulls.values()
    ):
        raise ApiError(422, f"A pull request already exists for {repo.owner.login}:{head}.")
    number = next(repo.numbers)
    pull: Json = {
        "id": next(call.world.ids),
        "number": number,
        "title": title,
        "body": call.given.get("body"),
        "state": "open",
        "draft": bool(call.given.get("draft")),
        "merged": False,
        "merged_at": None,
        "user": call.session.account.json(),
        "head": {"ref": head, "sha": tree_sha(repo.branches[head])},
        "base": {"ref": base, "sha": tree_sha(repo.branches[base])},
        "url": f"{call.base}/repos/{repo.full_name}/pulls/{number}",
        "html_url": f"https://github.com/{repo.full_name}/pull/{number}",
    }
    repo.pulls[number] = pull
    issue = {
        name: pull[name] for name in ("id", "number", "title", "body", "state", "user", "html_url")
    }
    issue |= {"labels": [], "assignees": [], "comments": 0, "updated_at": call.world.now()}
    repo.issues[number] = {**issue, "pull_request": {"html_url": pull["html_url"]}}
    told = {"action": "opened", "number": number, "pull_request": pull}
    call.sender.event(repo, "pull_request", told, pull["user"])
    return pull


def get_pull(call: Call) -> Json:
    """Get a pull request."""
    return call.numbered(call.repo.pulls)


def update_pull(call: Call) -> Json:
    """Change a pull request."""
    pull = call.numbered(call.repo.pulls)
    pull.update(
        {name: call.given[name] for name in ("title", "body", "state") if name in call.given}
    )
    if "base" in call.given:
        pull["base"] = {"ref": call.given["base"], "sha": ""}
    return pull


def review_pull(call: Call) -> Json:
    """Review a pull request."""
    pull = call.numbered(call.repo.pulls)
    states = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    state = states.get(str(call.given.get("event")), "PENDING")
    if state not in ("APPROVED", "PENDING") and not call.given.get("body"):
        raise ApiError(422, "Validation Failed: body missing")
    id = next(call.world.ids)
    url = f"{pull['html_url']}#pullrequestreview-{id}"
    review = {"id": id, "state": state, "body": call.given.get("body"), "html_url": url}
    call.repo.reviews.append(review)
    return review


def merge_pull(call: Call) -> Json:
    """Merge a pull request: the files of the head are the base's then."""
    repo, pull = call.repo, call.numbered(call.repo.pulls)
    if pull["state"] != "open":
        raise ApiError(405, "Pull Request is not mergeable")
    if call.given.get("sha") not in (None, pull["head"]["sha"]):
        raise ApiError(409, "Head branch was modified. Review and try the merge again.")
    repo.branches[pull["base"]["ref"]] = dict(repo.branches[pull["head"]["ref"]])
    pull.update({"state": "closed", "merged": True, "merged_at": call.world.now()})
    repo.issues[pull["number"]]["state"] = "closed"
    told = {"action": "closed", "number": pull["number"], "pull_request": pull}
    call.sender.event(repo, "pull_request", told, call.session.account.json())
    return {"sha": tree_sha(repo.branches[pull["base"]["ref"]]), "merged": True}


def tree_sha(files: Mapping[str, bytes]) -> str:
    """Give the id of a state of all files."""
    joined = "".join(f"{name} {blob_sha(content)}\n" for name, content in sorted(files.items()))
    return hashlib.sha1(joined.encode()).hexdigest()  # noqa: S324


def branch_of(call: Call, name: str) -> dict[str, bytes]:
    """Return the files of a branch."""
    found = call.repo.branches.get(str(call.given.get(name) or "main"))
    if found is None:
        raise ApiError(404, "No commit found for the ref")
    return found


def get_content(call: Call) -> Json:
    """Get a file."""
    files, path = branch_of(call, "ref"), call.places["path"]
    if path not in files:
        raise ApiError(404, "Not Found")
    return {**content_of(path, files[path]), "content": base64.encodebytes(files[path]).decode()}


def content_of(path: str, content: bytes) -> Json:
    """Give what is told of a file."""
    name = path.rsplit("/", 1)[-1]
    found = {"type": "file", "encoding": "base64", "size": len(content), "name": name}
    return {**found, "path": path, "sha": blob_sha(content)}


def put_content(call: Call) -> Json:
    """Write a file; one that is there is replaced only by its sha."""
    files, path = branch_of(call, "branch"), call.places["path"]
    call.required("message")
    try:
        content = base64.b64decode(call.given.get("content", ""), validate=True)
    except (binascii.Error, TypeError):
        raise ApiError(422, "content is not valid Base64") from None
    check_state(call, files)
    files[path] = content
    return {"content": content_of(path, content), "commit": pushed(call, files)}


def delete_content(call: Call) -> Json:
    """Delete a file by its sha."""
    files, path = branch_of(call, "branch"), call.places["path"]
    call.required("message", "sha")
    if path not in files:
        raise ApiError(404, "Not Found")
    check_state(call, files)
    del files[path]
    return {"content": None, "commit": pushed(call, files)}


def check_state(call: Call, files: Mapping[str, bytes]) -> None:
    """Refuse a change of a file that is in another state than was said."""
    path, sha = call.places["path"], call.given.get("sha")
    if path in files and sha is None:
        raise ApiError(422, 'Invalid request. "sha" wasn\'t supplied.')
    if sha is not None and (path not in files or blob_sha(files[path]) != sha):
        raise ApiError(409, f"{path} does not match {sha}")


def pushed(call: Call, files: Mapping[str, bytes]) -> Json:
    """Make a commit, and tell of it."""
    commit = {"sha": tree_sha(files), "message": call.given["message"]}
    ref = f"refs/heads/{call.given.get('branch') or 'main'}"
    told = {"ref": ref, "after": commit["sha"], "commits": [{"id": commit["sha"], **commit}]}
    call.sender.event(call.repo, "push", told, call.session.account.json())
    return commit


def get_branch(call: Call) -> Json:
    """Return a branch, with the sha of its files."""
    name = call.places["branch"]
    if (files := call.repo.branches.get(name)) is None:
        raise ApiError(404, "Branch not found")
    return {"name": name, "commit": {"sha": tree_sha(files)}, "protected": False}


def create_ref(call: Call) -> Json:
    """Make a branch, of the files that main has."""
    ref, _ = call.required("ref", "sha")
    name = str(ref).removeprefix("refs/heads/")
    if name in call.repo.branches:
        raise ApiError(422, "Reference already exists")
    call.repo.branches[name] = dict(call.repo.branches["main"])
    return {"ref": f"refs/heads/{name}", "object": {"type": "commit", "sha": call.given["sha"]}}


# Webhooks -------------------------------------------------------------------------------------


def hooks_of(call: Call) -> tuple[dict[int, Hook], str, str]:
    """Return the webhooks of the path, that path, and the account that they belong to."""
    if (org := call.places.get("org")) is not None:
        found = call.world.accounts.get(org)
        if found is None or not call.world.sees(call.session, found):
            raise ApiError(404, "Not Found")
        return call.world.org_hooks.setdefault(org, {}), f"/orgs/{org}/hooks", org
    repo = call.repo
    return repo.hooks, f"/repos/{repo.full_name}/hooks", repo.owner.login


def hook_of(call: Call) -> Hook:
    """Return the webhook of the path."""
    found = hooks_of(call)[0].get(int(call.places["hook"]))
    if found is None:
        raise ApiError(404, "Not Found")
    return found


def list_hooks(call: Call) -> list[Json]:
    """List webhooks."""
    return [each.json(call.base) for each in hooks_of(call)[0].values()]


def create_hook(call: Call) -> Json:
    """Make a webhook, and ping it."""
    hooks, path, account = hooks_of(call)
    config: Mapping[str, Any] = call.given.get("config") or {}
    if not str(config.get("url", "")).startswith(("http://", "https://")):
        raise ApiError(422, "Validation Failed: config.url")
    events = list(call.given.get("events") or ["push"])
    if any((e.url, e.events) == (config["url"], events) for e in hooks.values()):
        raise ApiError(422, "Hook already exists on this repository")
    hook = Hook(
        next(call.world.ids), config["url"], str(config.get("secret") or ""), events, path=path
    )
    hook.active = bool(call.given.get("active", True))
    hooks[hook.id] = hook
    call.sender.ping(hook, account)
    return hook.json(call.base)


def get_hook(call: Call) -> Json:
    """Get a webhook."""
    return hook_of(call).json(call.base)


def update_hook(call: Call) -> Json:
    """Change a webhook."""
    hook, given = hook_of(call), call.given
    config: Mapping[str, Any] = given.get("config") or {}
    hook.url = config.get("url", hook.url)
    hook.secret = config.get("secret", hook.secret)
    hook.events = list(given.get("events", hook.events))
    hook.active = bool(given.get("active", hook.active))
    return hook.json(call.base)


def delete_hook(call: Call) -> None:
    """Remove a webhook, and with it what was sent."""
    hooks, hook = hooks_of(call)[0], hook_of(call)
    del hooks[hook.id]


def list_deliveries(call: Call) -> list[Json]:
    """List what was sent to a webhook, newest first."""
    return [each.json() for each in reversed(deliveries_hook(call).deliveries)]


def redeliver(call: Call) -> Json:
    """Send a delivery again."""
    hook = deliveries_hook(call)
    for each in hook.deliveries:
        if str(each.id) == call.places["delivery"]:
            call.sender.redeliver(hook, each)
            return {}
    raise ApiError(404, "Not Found")


def deliveries_hook(call: Call) -> Hook:
    """Return the webhook of the path, or that of the app."""
    return hook_of(call) if "hook" in call.places else call.world.app_hook


# People and the app ---------------------------------------------------------------------------


def get_user(call: Call) -> Json:
    """Get whose token it is."""
    if call.session.installation is not None:
        raise ApiError(403, "Resource not accessible by integration")
    return call.session.account.json()


def list_repos(call: Call) -> list[Json]:
    """List the repositories that a token may see."""
    return [e.json() for e in call.world.repos.values() if call.world.sees(call.session, e.owner)]


def installation_repos(call: Call) -> Json:
    """List the repositories of an installation."""
    if call.session.installation is None:
        raise ApiError(403, "You must authenticate with an installation access token")
    found = list_repos(call)
    return {"total_count": len(found), "repositories": found}


def list_installations(call: Call) -> Json:
    """List the installations that a person may see through the app."""
    if not call.session.through_app:
        raise ApiError(403, "You must authenticate with an access token authorized to a GitHub App")
    found = [
        {"id": id, "account": account.json(), "app_id": 1001}
        for id, account in call.world.installations.items()
        if call.world.sees(call.session, account)
    ]
    return {"total_count": len(found), "installations": found}


def get_membership(call: Call) -> Json:
    """Get what a person is in an organization."""
    org = call.world.accounts.get(call.places["org"])
    role = None if org is None else org.members.get(call.session.account.login)
    if role is None:
        raise ApiError(404, "Not Found")
    return {"state": "active", "role": role, "organization": {"login": call.places["org"]}}


REPO = "/repos/{owner}/{repo}"
Method = Callable[[Call], Any]
METHODS: list[tuple[str, str, int, Method]] = [
    ("GET", REPO, 200, get_repo),
    ("GET", f"{REPO}/issues", 200, list_issues),
    ("POST", f"{REPO}/issues", 201, create_issue),
    ("GET", f"{REPO}/issues/{{number}}", 200, get_issue),
    ("PATCH", f"{REPO}/issues/{{number}}", 200, update_issue),
    ("GET", f"{REPO}/issues/{{number}}/comments", 200, list_comments),
    ("POST", f"{REPO}/issues/{{number}}/comments", 201, create_comment),
    ("GET", f"{REPO}/pulls", 200, list_pulls),
    ("POST", f"{REPO}/pulls", 201, create_pull),
    ("GET", f"{REPO}/pulls/{{number}}", 200, get_pull),
    ("PATCH", f"{REPO}/pulls/{{number}}", 200, update_pull),
    ("POST", f"{REPO}/pulls/{{number}}/reviews", 200, review_pull),
    ("PUT", f"{REPO}/pulls/{{number}}/merge", 200, merge_pull),
    ("GET", f"{REPO}/branches/{{branch:path}}", 200, get_branch),
    ("POST", f"{REPO}/git/refs", 201, create_ref),
    ("GET", f"{REPO}/contents/{{path:path}}", 200, get_content),
    ("PUT", f"{REPO}/contents/{{path:path}}", 200, put_content),
    ("DELETE", f"{REPO}/contents/{{path:path}}", 200, delete_content),
    *(
        each
        for place in (REPO, "/orgs/{org}")
        for each in (
            ("GET", f"{place}/hooks", 200, list_hooks),
            ("POST", f"{place}/hooks", 201, create_hook),
            ("GET", f"{place}/hooks/{{hook:int}}", 200, get_hook),
            ("PATCH", f"{place}/hooks/{{hook:int}}", 200, update_hook),
            ("DELETE", f"{place}/hooks/{{hook:int}}", 204, delete_hook),
            ("GET", f"{place}/hooks/{{hook:int}}/deliveries", 200, list_deliveries),
            (
                "POST",
                f"{place}/hooks/{{hook:int}}/deliveries/{{delivery}}/attempts",
                202,
                redeliver,
            ),
        )
    ),
    ("GET", "/app/hook/deliveries", 200, list_deliveries),
    ("POST", "/app/hook/deliveries/{delivery}/attempts", 202, redeliver),
    ("GET", "/user", 200, get_user),
    ("GET", "/user/repos", 200, list_repos),
    ("GET", "/user/installations", 200, list_installations),
    ("GET", "/user/memberships/orgs/{org}", 200, get_membership),
    ("GET", "/installation/repositories", 200, installation_repos),
]
"""By method and path: the status of success, and what is done."""


def owner_of(places: Mapping[str, str], session: Session) -> str:
    """Return whose part of GitHub a request is for: for its faults."""
    return places.get("owner") or places.get("org") or session.account.login
