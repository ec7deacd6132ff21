// tidemark/container/s3: containers in S3 and stores that speak its protocol. Needs the optional peer dependency @aws-sdk/client-s3.

export { S3Container } from './s3-container.js';
export type { S3ContainerParts } from './s3-container.js';
export { openS3Container } from './open-s3-container.js';
export { listS3Backups } from './list-backups.js';
export { S3RequestError } from './s3-error.js';
export type { OpenS3Options, S3ContainerOptions, S3Credentials } from '../s3-options.js';
