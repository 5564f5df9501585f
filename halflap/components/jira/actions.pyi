"""Actions of Jira, made by `halflap types` from openapi.json; run it again after a change."""

from typing import Any, Literal, NotRequired, TypedDict

from halflap.components.jira.connection import Jira, component
from halflap import UNSET, Paging, Specification, Unset
from halflap.sdk.specification import SpecifiedAction, paged

IssueBeanChangelog = TypedDict("IssueBeanChangelog", {"histories": NotRequired[list[dict[str, Any]]], "maxResults": NotRequired[int], "startAt": NotRequired[int], "total": NotRequired[int]})
IssueBeanEditmeta = TypedDict("IssueBeanEditmeta", {"fields": NotRequired[dict[str, dict[str, Any]]]})
IncludedFields = TypedDict("IncludedFields", {"actuallyIncluded": NotRequired[list[str]], "excluded": NotRequired[list[str]], "included": NotRequired[list[str]]})
IssueBeanOperations = TypedDict("IssueBeanOperations", {"linkGroups": NotRequired[list[dict[str, Any]]]})
JsonTypeBean = TypedDict("JsonTypeBean", {"configuration": NotRequired[dict[str, Any]], "custom": NotRequired[str], "customId": NotRequired[int], "items": NotRequired[str], "system": NotRequired[str], "type": str})
IssueTransition = TypedDict("IssueTransition", {"expand": NotRequired[str], "fields": NotRequired[dict[str, dict[str, Any]]], "hasScreen": NotRequired[bool], "id": NotRequired[str], "isAvailable": NotRequired[bool], "isConditional": NotRequired[bool], "isGlobal": NotRequired[bool], "isInitial": NotRequired[bool], "looped": NotRequired[bool], "name": NotRequired[str], "to": NotRequired[dict[str, Any]]})
IssueBean = TypedDict("IssueBean", {"changelog": NotRequired[IssueBeanChangelog], "editmeta": NotRequired[IssueBeanEditmeta], "expand": NotRequired[str], "fields": NotRequired[dict[str, Any]], "fieldsToInclude": NotRequired[IncludedFields], "id": NotRequired[str], "key": NotRequired[str], "names": NotRequired[dict[str, str]], "operations": NotRequired[IssueBeanOperations], "properties": NotRequired[dict[str, Any]], "renderedFields": NotRequired[dict[str, Any]], "schema": NotRequired[dict[str, JsonTypeBean]], "self": NotRequired[str], "transitions": NotRequired[list[IssueTransition]], "versionedRepresentations": NotRequired[dict[str, dict[str, Any]]]})
FieldUpdateOperation = TypedDict("FieldUpdateOperation", {"add": NotRequired[Any], "copy": NotRequired[Any], "edit": NotRequired[Any], "remove": NotRequired[Any], "set": NotRequired[Any]})
EditIssueHistoryMetadataActor = TypedDict("EditIssueHistoryMetadataActor", {"avatarUrl": NotRequired[str], "displayName": NotRequired[str], "displayNameKey": NotRequired[str], "id": NotRequired[str], "type": NotRequired[str], "url": NotRequired[str]})
EditIssueHistoryMetadata = TypedDict("EditIssueHistoryMetadata", {"activityDescription": NotRequired[str], "activityDescriptionKey": NotRequired[str], "actor": NotRequired[EditIssueHistoryMetadataActor], "cause": NotRequired[EditIssueHistoryMetadataActor], "description": NotRequired[str], "descriptionKey": NotRequired[str], "emailDescription": NotRequired[str], "emailDescriptionKey": NotRequired[str], "extraData": NotRequired[dict[str, str]], "generator": NotRequired[EditIssueHistoryMetadataActor], "type": NotRequired[str]})
EntityProperty = TypedDict("EntityProperty", {"key": NotRequired[str], "value": NotRequired[Any]})
FieldMetadata = TypedDict("FieldMetadata", {"allowedValues": NotRequired[list[Any]], "autoCompleteUrl": NotRequired[str], "configuration": NotRequired[dict[str, Any]], "defaultValue": NotRequired[Any], "hasDefaultValue": NotRequired[bool], "key": str, "name": str, "operations": list[str], "required": bool, "schema": dict[str, Any]})
EditIssueTransitionToStatusCategory = TypedDict("EditIssueTransitionToStatusCategory", {"colorName": NotRequired[str], "id": NotRequired[int], "key": NotRequired[str], "name": NotRequired[str], "self": NotRequired[str]})
EditIssueTransitionTo = TypedDict("EditIssueTransitionTo", {"description": NotRequired[str], "iconUrl": NotRequired[str], "id": NotRequired[str], "name": NotRequired[str], "self": NotRequired[str], "statusCategory": NotRequired[EditIssueTransitionToStatusCategory]})
EditIssueTransition = TypedDict("EditIssueTransition", {"expand": NotRequired[str], "fields": NotRequired[dict[str, FieldMetadata]], "hasScreen": NotRequired[bool], "id": NotRequired[str], "isAvailable": NotRequired[bool], "isConditional": NotRequired[bool], "isGlobal": NotRequired[bool], "isInitial": NotRequired[bool], "looped": NotRequired[bool], "name": NotRequired[str], "to": NotRequired[EditIssueTransitionTo]})
CommentVisibility = TypedDict("CommentVisibility", {"identifier": NotRequired[str | None], "type": NotRequired[Literal["group", "role"]], "value": NotRequired[str]})
Comment = TypedDict("Comment", {"author": NotRequired[dict[str, Any]], "body": NotRequired[Any], "created": NotRequired[str], "id": NotRequired[str], "jsdAuthorCanSeeRequest": NotRequired[bool], "jsdPublic": NotRequired[bool], "properties": NotRequired[list[EntityProperty]], "renderedBody": NotRequired[str], "self": NotRequired[str], "updateAuthor": NotRequired[dict[str, Any]], "updated": NotRequired[str], "visibility": NotRequired[CommentVisibility]})
Transitions = TypedDict("Transitions", {"expand": NotRequired[str], "transitions": NotRequired[list[IssueTransition]]})
ProjectAvatarUrls = TypedDict("ProjectAvatarUrls", {"16x16": NotRequired[str], "24x24": NotRequired[str], "32x32": NotRequired[str], "48x48": NotRequired[str]})
ProjectInsight = TypedDict("ProjectInsight", {"lastIssueUpdateTime": NotRequired[str], "totalIssueCount": NotRequired[int]})
ProjectLandingPageInfo = TypedDict("ProjectLandingPageInfo", {"attributes": NotRequired[dict[str, str]], "boardId": NotRequired[int], "boardName": NotRequired[str], "projectKey": NotRequired[str], "projectType": NotRequired[str], "queueCategory": NotRequired[str], "queueId": NotRequired[int], "queueName": NotRequired[str], "simpleBoard": NotRequired[bool], "simplified": NotRequired[bool], "url": NotRequired[str]})
ProjectPermissions = TypedDict("ProjectPermissions", {"canEdit": NotRequired[bool]})
ProjectProjectCategory = TypedDict("ProjectProjectCategory", {"description": NotRequired[str], "id": NotRequired[str], "name": NotRequired[str], "self": NotRequired[str]})
Project = TypedDict("Project", {"archived": NotRequired[bool], "archivedBy": NotRequired[dict[str, Any]], "archivedDate": NotRequired[str], "assigneeType": NotRequired[Literal["PROJECT_LEAD", "UNASSIGNED"]], "avatarUrls": NotRequired[ProjectAvatarUrls], "components": NotRequired[list[dict[str, Any]]], "deleted": NotRequired[bool], "deletedBy": NotRequired[dict[str, Any]], "deletedDate": NotRequired[str], "description": NotRequired[str], "email": NotRequired[str], "expand": NotRequired[str], "favourite": NotRequired[bool], "id": NotRequired[str], "insight": NotRequired[ProjectInsight], "isPrivate": NotRequired[bool], "issueTypeHierarchy": NotRequired[dict[str, Any]], "issueTypes": NotRequired[list[dict[str, Any]]], "key": NotRequired[str], "landingPageInfo": NotRequired[ProjectLandingPageInfo], "lead": NotRequired[dict[str, Any]], "name": NotRequired[str], "permissions": NotRequired[ProjectPermissions], "projectCategory": NotRequired[ProjectProjectCategory], "projectTypeKey": NotRequired[Literal["software", "service_desk", "business"]], "properties": NotRequired[dict[str, Any]], "retentionTillDate": NotRequired[str], "roles": NotRequired[dict[str, str]], "self": NotRequired[str], "simplified": NotRequired[bool], "style": NotRequired[Literal["classic", "next-gen"]], "url": NotRequired[str], "uuid": NotRequired[str], "versions": NotRequired[list[dict[str, Any]]]})
UserApplicationRoles = TypedDict("UserApplicationRoles", {"callback": NotRequired[dict[str, Any]], "items": NotRequired[list[dict[str, Any]]], "max-results": NotRequired[int], "pagingCallback": NotRequired[dict[str, Any]], "size": NotRequired[int]})
GroupName = TypedDict("GroupName", {"groupId": NotRequired[str | None], "name": NotRequired[str], "self": NotRequired[str]})
UserGroups = TypedDict("UserGroups", {"callback": NotRequired[dict[str, Any]], "items": NotRequired[list[GroupName]], "max-results": NotRequired[int], "pagingCallback": NotRequired[dict[str, Any]], "size": NotRequired[int]})
User = TypedDict("User", {"accountId": NotRequired[str], "accountType": NotRequired[Literal["atlassian", "app", "customer", "unknown"]], "active": NotRequired[bool], "applicationRoles": NotRequired[UserApplicationRoles], "avatarUrls": NotRequired[ProjectAvatarUrls], "displayName": NotRequired[str], "emailAddress": NotRequired[str], "expand": NotRequired[str], "groups": NotRequired[UserGroups], "key": NotRequired[str], "locale": NotRequired[str], "name": NotRequired[str], "self": NotRequired[str], "timeZone": NotRequired[str]})
FieldDetailsScope = TypedDict("FieldDetailsScope", {"project": NotRequired[dict[str, Any]], "type": NotRequired[Literal["PROJECT", "TEMPLATE"]]})
FieldDetails = TypedDict("FieldDetails", {"clauseNames": NotRequired[list[str]], "custom": NotRequired[bool], "id": NotRequired[str], "key": NotRequired[str], "name": NotRequired[str], "navigable": NotRequired[bool], "orderable": NotRequired[bool], "schema": NotRequired[JsonTypeBean], "scope": NotRequired[FieldDetailsScope], "searchable": NotRequired[bool]})
HealthCheckResult = TypedDict("HealthCheckResult", {"description": NotRequired[str], "name": NotRequired[str], "passed": NotRequired[bool]})
ServerInformation = TypedDict("ServerInformation", {"baseUrl": NotRequired[str], "buildDate": NotRequired[str], "buildNumber": NotRequired[int], "deploymentType": NotRequired[str], "healthChecks": NotRequired[list[HealthCheckResult]], "scmInfo": NotRequired[str], "serverTime": NotRequired[str], "serverTitle": NotRequired[str], "version": NotRequired[str], "versionNumbers": NotRequired[list[int]]})

SPECIFICATION: Specification
PROJECTS: Paging
COMMENTS: Paging
USERS: Paging
ACTIONS: dict[str, SpecifiedAction]

@component.action(title="Get an issue")
async def get_issue(jira: Jira, issue: str, *, fields: list[str] | None | Unset = UNSET, expand: str | None | Unset = UNSET, fields_by_keys: bool | None | Unset = UNSET, properties: list[str] | None | Unset = UNSET, update_history: bool | None | Unset = UNSET) -> IssueBean | None:
    "Get issue."

@component.action(title="Edit an issue")
async def edit_issue(jira: Jira, issue: str, *, fields: dict[str, Any] | None | Unset = UNSET, update: dict[str, list[FieldUpdateOperation]] | None | Unset = UNSET, notify_users: bool | None | Unset = UNSET, override_screen_security: bool | None | Unset = UNSET, override_editable_flag: bool | None | Unset = UNSET, history_metadata: EditIssueHistoryMetadata | None | Unset = UNSET, properties: list[EntityProperty] | None | Unset = UNSET, transition: EditIssueTransition | None | Unset = UNSET) -> Any:
    "Edit issue."

@component.action(title="Assign an issue")
async def assign_issue(jira: Jira, issue: str, *, account_id: str | None | Unset = UNSET, key: str | None | Unset = UNSET, name: str | None | Unset = UNSET) -> Any:
    "Assign issue."

@component.action(title="Delete an issue")
async def delete_issue(jira: Jira, issue: str, *, delete_subtasks: Literal["true", "false"] | None | Unset = UNSET) -> None:
    "Delete issue."

@paged
@component.action(title="List comments")
async def list_comments(jira: Jira, issue: str, *, order_by: Literal["created", "-created", "+created"] | None | Unset = UNSET, expand: str | None | Unset = UNSET, most: int = 100) -> list[Comment]:
    "Get comments."

@component.action(title="List transitions of an issue")
async def list_transitions(jira: Jira, issue: str, *, expand: str | None | Unset = UNSET, transition_id: str | None | Unset = UNSET, skip_remote_only_condition: bool | None | Unset = UNSET, include_unavailable_transitions: bool | None | Unset = UNSET, sort_by_ops_bar_and_status: bool | None | Unset = UNSET) -> Transitions:
    "Get transitions."

@component.action(title="Move an issue")
async def transition_issue(jira: Jira, issue: str, *, transition: EditIssueTransition | None | Unset = UNSET, fields: dict[str, Any] | None | Unset = UNSET, history_metadata: EditIssueHistoryMetadata | None | Unset = UNSET, properties: list[EntityProperty] | None | Unset = UNSET, update: dict[str, list[FieldUpdateOperation]] | None | Unset = UNSET) -> Any:
    "Transition issue."

@paged
@component.action(title="Search projects")
async def search_projects(jira: Jira, *, query: str | None | Unset = UNSET, order_by: Literal["category", "-category", "+category", "key", "-key", "+key", "name", "-name", "+name", "owner", "-owner", "+owner", "issueCount", "-issueCount", "+issueCount", "lastIssueUpdatedDate", "-lastIssueUpdatedDate", "+lastIssueUpdatedDate", "archivedDate", "+archivedDate", "-archivedDate", "deletedDate", "+deletedDate", "-deletedDate"] | None | Unset = UNSET, id: list[int] | None | Unset = UNSET, keys: list[str] | None | Unset = UNSET, type_key: str | None | Unset = UNSET, category_id: int | None | Unset = UNSET, action: Literal["view", "browse", "edit"] | None | Unset = UNSET, expand: str | None | Unset = UNSET, status: list[Literal["live", "archived", "deleted"]] | None | Unset = UNSET, properties: list[dict[str, Any]] | None | Unset = UNSET, property_query: str | None | Unset = UNSET, most: int = 100) -> list[Project]:
    "Get projects paginated."

@paged
@component.action(title="Search users")
async def search_users(jira: Jira, *, query: str | None | Unset = UNSET, username: str | None | Unset = UNSET, account_id: str | None | Unset = UNSET, property: str | None | Unset = UNSET, most: int = 100) -> list[User]:
    "Find users."

@component.action(title="Get the user of the token")
async def get_current_user(jira: Jira, *, expand: str | None | Unset = UNSET) -> User:
    "Get current user."

@component.action(title="List the fields of issues")
async def list_fields(jira: Jira) -> list[FieldDetails]:
    "Get fields."

@component.action(title="Get the site's version")
async def get_server_info(jira: Jira) -> ServerInformation:
    "Get Jira instance info."

