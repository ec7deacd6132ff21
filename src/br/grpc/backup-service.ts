// TiKV's backup service as gRPC names it (kvproto: service backup.Backup).

/** Server streaming: a BackupRequest, then BackupResponses. The service's other methods are of backups that copy disks or files, which Tidemark does not do. */
export const BACKUP_METHOD = '/backup.Backup/backup';
