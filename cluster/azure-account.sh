#!/usr/bin/env bash
# What a cluster of cluster/azure.yaml needs in an Azure subscription, and no more. Once for a subscription:
#
#   SUBSCRIPTION=... GROUP=tunesmith IDENTITY_GROUP=tunesmith-identity STORAGE=... bash cluster/azure-account.sh
#
# A group for the cluster, one for its identity, a storage account without keys, and an identity that uses the storage and
# starts and ends machines in the cluster's group by a role of its own. Ray gives one identity to head and workers.
set -euo pipefail
: "${SUBSCRIPTION:?its id}" "${GROUP:?group of the cluster}" "${IDENTITY_GROUP:?group of the identity}"
: "${STORAGE:?name of the storage account to make}"
LOCATION="${LOCATION:-eastus}"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

az account set --subscription "$SUBSCRIPTION"
az group create --name "$GROUP" --location "$LOCATION"
az group create --name "$IDENTITY_GROUP" --location "$LOCATION"
az identity create --name tunesmith --resource-group "$IDENTITY_GROUP"
WHO="$(az identity show --name tunesmith --resource-group "$IDENTITY_GROUP" --query principalId --output tsv)"

az storage account create --name "$STORAGE" --resource-group "$IDENTITY_GROUP" --allow-blob-public-access false \
  --allow-shared-key-access false --min-tls-version TLS1_2
az storage container create --name tunesmith --account-name "$STORAGE" --auth-mode login
SCOPE="/subscriptions/$SUBSCRIPTION/resourceGroups"
az role assignment create --role "Storage Blob Data Contributor" --assignee-object-id "$WHO" \
  --assignee-principal-type ServicePrincipal \
  --scope "$SCOPE/$IDENTITY_GROUP/providers/Microsoft.Storage/storageAccounts/$STORAGE/blobServices/default/containers/tunesmith"

az role definition create --role-definition "$(sed "s|<SCOPE>|$SCOPE/$GROUP|" "$HERE/azure-role.json")"
az role assignment create --role "Tunesmith cluster" --assignee-object-id "$WHO" \
  --assignee-principal-type ServicePrincipal --scope "$SCOPE/$GROUP"
az role assignment create --role "Managed Identity Operator" --assignee-object-id "$WHO" \
  --assignee-principal-type ServicePrincipal \
  --scope "$SCOPE/$IDENTITY_GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/tunesmith"
