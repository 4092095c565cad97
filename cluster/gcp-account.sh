#!/usr/bin/env bash
# What a cluster of cluster/gcp.yaml needs in a Google Cloud project, and no more. Once for a project:
#
#   PROJECT=... BUCKET=... USER_ADDRESS=203.0.113.7/32 bash cluster/gcp-account.sh
#
# A bucket, a network that lets SSH in from one address, and two accounts: workers use the bucket; the head, too, and may
# start and end machines by a role of its own.
set -euo pipefail
: "${PROJECT:?the project}" "${BUCKET:?name of the bucket to make}" "${USER_ADDRESS:?where SSH comes from, as a range}"
REGION="${REGION:-us-central1}"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

gcloud services enable compute.googleapis.com iam.googleapis.com cloudresourcemanager.googleapis.com --project="$PROJECT"
gcloud storage buckets create "gs://$BUCKET" --project="$PROJECT" --location="$REGION" \
  --uniform-bucket-level-access --public-access-prevention

gcloud compute networks create tunesmith --project="$PROJECT" --subnet-mode=custom
gcloud compute networks subnets create tunesmith --project="$PROJECT" --network=tunesmith --region="$REGION" \
  --range=10.42.0.0/20 --enable-private-ip-google-access
gcloud compute firewall-rules create tunesmith-ssh --project="$PROJECT" --network=tunesmith --allow=tcp:22 \
  --source-ranges="$USER_ADDRESS" --target-tags=tunesmith
gcloud compute firewall-rules create tunesmith-inside --project="$PROJECT" --network=tunesmith --allow=all \
  --source-tags=tunesmith --target-tags=tunesmith

gcloud iam roles create tunesmithHead --project="$PROJECT" --file="$HERE/gcp-head-role.yaml"
for name in head worker; do
  gcloud iam service-accounts create "tunesmith-$name" --project="$PROJECT"
  gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" --role=roles/storage.objectUser \
    --member="serviceAccount:tunesmith-$name@$PROJECT.iam.gserviceaccount.com"
done
gcloud projects add-iam-policy-binding "$PROJECT" --role="projects/$PROJECT/roles/tunesmithHead" \
  --member="serviceAccount:tunesmith-head@$PROJECT.iam.gserviceaccount.com" --condition=None
# The head hands the workers' account on, and no other.
gcloud iam service-accounts add-iam-policy-binding "tunesmith-worker@$PROJECT.iam.gserviceaccount.com" \
  --project="$PROJECT" --role=roles/iam.serviceAccountUser \
  --member="serviceAccount:tunesmith-head@$PROJECT.iam.gserviceaccount.com"
